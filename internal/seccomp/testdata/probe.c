/* Loads a filter and makes system calls under it. run_amd64_test.go writes struct shared to the
 * memory file at descriptor 3, and reads it afterwards. Under the filter, this program makes no
 * other system calls, except exit_group and those of the modes that say so. */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MODE_MAIN = 0, MODE_THREAD = 1, MODE_LISTENER = 2 };
enum { ABI_X86_64 = 0, ABI_I386 = 1 };

struct call {
	uint64_t abi;
	uint64_t number;
	uint64_t args[6];
	int64_t result;
	uint64_t done;
	int64_t trapped; /* si_errno of SIGSYS plus 1 */
};

struct shared {
	uint64_t mode;
	uint64_t flags;
	uint64_t insns;
	uint64_t calls;
	int64_t loaded; /* what seccomp(2) returned, or -errno */
	uint64_t survived;
	struct call call[64];
	struct sock_filter program[4096];
};

static struct shared *s;
static struct call *current;
static volatile int go;

static long raw64(uint64_t n, const uint64_t *a)
{
	long result;
	register uint64_t r10 __asm__("r10") = a[3];
	register uint64_t r8 __asm__("r8") = a[4];
	register uint64_t r9 __asm__("r9") = a[5];

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(n), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static long raw32(uint64_t n, const uint64_t *a)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(n), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)result;
}

static void make_calls(void)
{
	for (uint64_t i = 0; i < s->calls; i++) {
		current = &s->call[i];
		current->result = current->abi == ABI_I386 ? raw32(current->number, current->args)
							   : raw64(current->number, current->args);
		current->done = 1;
	}
}

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	current->trapped = info->si_errno + 1;
}

static void load(void)
{
	struct sock_fprog program = { (unsigned short)s->insns, s->program };

	s->loaded = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, s->flags, &program);
	if (s->loaded < 0)
		s->loaded = -errno;
}

static void *thread(void *unused)
{
	(void)unused;
	while (!go)
		__builtin_ia32_pause();
	make_calls();
	return NULL;
}

static void send_listener(int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	sendmsg(4, &message, 0);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	uint64_t zero[6] = { 0 };
	pthread_t id;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	if (s == MAP_FAILED || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return 90;
	sigaction(SIGSYS, &action, NULL);
	if (s->mode == MODE_THREAD && pthread_create(&id, NULL, thread, NULL) != 0)
		return 91;
	load();
	if (s->loaded < 0)
		return 92;
	if (s->mode == MODE_LISTENER)
		send_listener((int)s->loaded);
	if (s->mode == MODE_THREAD) {
		go = 1;
		pthread_join(id, NULL);
	} else {
		make_calls();
	}
	s->survived = 1;
	raw64(SYS_exit_group, zero);
	__builtin_trap();
}
