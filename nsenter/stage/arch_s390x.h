static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r1 __asm__("1") = n;
	register long r2 __asm__("2") = a;
	register long r3 __asm__("3") = b;
	register long r4 __asm__("4") = c;
	register long r5 __asm__("5") = d;
	register long r6 __asm__("6") = e;
	register long r7 __asm__("7") = f;
	__asm__ volatile("svc 0" : "+r"(r2) : "r"(r1), "r"(r3), "r"(r4), "r"(r5), "r"(r6), "r"(r7) : "memory", "cc");
	return r2;
}

/* On this machine mmap(2) takes its arguments in memory. */
static inline long sys_map(uint64_t len, int fd)
{
	const uint64_t args[6] = {0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, (uint64_t)fd, 0};
	return sys6(__NR_mmap, (long)args, 0, 0, 0, 0, 0);
}

/* A function may save registers in the 160 bytes that its caller leaves free above the stack
 * pointer. */
#define START ".globl _start\n_start:\n\tlgr %r2,%r15\n\taghi %r15,-160\n\txc 0(8,%r15),0(%r15)\n\tbrasl %r14,stage_main\n"

static inline long start_thread(long flags, struct second *n, char *stack_end)
{
	register long r1 __asm__("1") = __NR_clone;
	register char *r2 __asm__("2") = stack_end - 160; /* on this machine the stack is the first argument */
	register long r3 __asm__("3") = flags;
	register long r4 __asm__("4") = 0;
	register long r5 __asm__("5") = 0;
	register long r6 __asm__("6") = 0;
	register struct second *arg __asm__("8") = n;
	__asm__ volatile("svc 0\n\tltgr %%r2,%%r2\n\tjnz 1f\n\tlgr %%r2,%%r8\n\tbrasl %%r14,second_thread\n1:"
			 : "+r"(r2)
			 : "r"(r1), "r"(r3), "r"(r4), "r"(r5), "r"(r6), "r"(arg)
			 : "memory", "cc", "14");
	return (long)r2;
}

enum { O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000 };
