/* The few functions of the C library that libseccomp and compiler.c call.
 * With them the compiler is a freestanding program a sixth the size of one
 * with glibc linked in, and starts without glibc's page faults. Memory comes
 * from mmap and goes back when the program ends.
 *
 * Behind them: functions that libseccomp's archive refers to and the compiler
 * never reaches (loading filters, printing pseudo code). They end the program. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#undef errno

int main(void);

static int error_number;

int *__errno_location(void)
{
	return &error_number;
}

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	call begin\n");

/* Debian builds libseccomp with stack protectors, which read %fs:0x28. */
static void set_up_thread(void)
{
	static uint64_t thread[8];

	call(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, (long)thread, 0, 0, 0, 0);
}
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	bl begin\n");

uintptr_t __stack_chk_guard;

static void set_up_thread(void)
{
}
#else
#error "begin and call are written for x86_64 and aarch64"
#endif

static long checked(long result)
{
	if (result < 0 && result >= -4095) {
		error_number = (int)-result;
		return -1;
	}
	return result;
}

void _exit(int status)
{
	for (;;)
		call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

void begin(void) __attribute__((used, noreturn));
void begin(void)
{
	set_up_thread();
	_exit(main());
}

ssize_t read(int fd, void *to, size_t size)
{
	return checked(call(SYS_read, fd, (long)to, (long)size, 0, 0, 0));
}

ssize_t write(int fd, const void *from, size_t size)
{
	return checked(call(SYS_write, fd, (long)from, (long)size, 0, 0, 0));
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
	return checked(call(SYS_pwrite64, fd, (long)from, (long)size, at, 0, 0));
}

off_t lseek(int fd, off_t at, int whence)
{
	return checked(call(SYS_lseek, fd, at, whence, 0, 0, 0));
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	while (size--)
		*t++ = *f++;
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if (t <= f)
		return memcpy(to, from, size);
	while (size--)
		t[size] = f[size];
	return to;
}

void *memset(void *to, int value, size_t size)
{
	unsigned char *t = to;

	while (size--)
		*t++ = (unsigned char)value;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;

	for (; size--; x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

/* Memory: blocks of 16 << class bytes behind a header that holds the class.
 * Freed blocks wait in a list by class; fresh ones are cut from an arena. */
#define CLASSES 28
#define ARENA ((size_t)1 << 20)

union header {
	size_t class;
	union header *next; /* while free */
	long double align;
};

static union header *free_blocks[CLASSES];
static char *arena;
static size_t arena_left;

static union header *cut(size_t size)
{
	if (size > arena_left) {
		size_t want = size > ARENA ? size : ARENA;
		long at = checked(call(SYS_mmap, 0, (long)want, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		if (at == -1)
			return NULL;
		arena = (char *)at;
		arena_left = want;
	}
	union header *block = (union header *)(void *)arena;
	arena += size;
	arena_left -= size;
	return block;
}

void *malloc(size_t size)
{
	size_t class = 0;
	union header *block;

	while (class < CLASSES && ((size_t)16 << class) < size)
		class++;
	if (class == CLASSES) {
		error_number = ENOMEM;
		return NULL;
	}
	block = free_blocks[class];
	if (block)
		free_blocks[class] = block->next;
	else
		block = cut(sizeof(*block) + ((size_t)16 << class));
	if (!block)
		return NULL;
	block->class = class;
	return block + 1;
}

void free(void *data)
{
	if (!data)
		return;
	union header *block = (union header *)data - 1;
	size_t class = block->class;
	block->next = free_blocks[class];
	free_blocks[class] = block;
}

void *calloc(size_t count, size_t size)
{
	size_t bytes;
	char *data;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		error_number = ENOMEM;
		return NULL;
	}
	data = malloc(bytes);
	/* Not memset: of malloc and memset gcc would make a call of calloc. */
	for (size_t i = 0; data && i < bytes; i++)
		data[i] = 0;
	return data;
}

void *realloc(void *data, size_t size)
{
	if (!data)
		return malloc(size);
	size_t had = (size_t)16 << ((union header *)data - 1)->class;
	if (size <= had)
		return data;
	void *more = malloc(size);
	if (!more)
		return NULL;
	memcpy(more, data, had);
	free(data);
	return more;
}

char *strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = malloc(size);

	return copy ? memcpy(copy, s, size) : NULL;
}

/* Exit statuses that compiler.c does not use. The functions have other names
 * here, since their real prototypes differ. */
#define UNREACHED(name)                              \
	void unreached_##name(void) __asm__(#name);  \
	void unreached_##name(void)                  \
	{                                            \
		_exit(125);                          \
	}

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
	_exit(124);
}

void __assert_fail(const char *text, const char *file, unsigned int line, const char *function)
{
	(void)text, (void)file, (void)line, (void)function;
	_exit(123);
}

UNREACHED(__fprintf_chk)
UNREACHED(close)
UNREACHED(dup)
UNREACHED(fclose)
UNREACHED(fdopen)
UNREACHED(fflush)
UNREACHED(fwrite)
UNREACHED(ioctl)
UNREACHED(prctl)
UNREACHED(syscall)
