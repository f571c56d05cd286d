/* Fuzzes the stage's decoder, and its steps, with plans that its parent would never send
 * (libFuzzer, ASan, UBSan). It compiles the stage's own sources. Only the kernel is replaced: the
 * end of the input has the results of system calls.
 *
 * An input is a plan, followed by these results. Magic 0 stands for the magic of this build. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* The stage's headers use these names, as libc does. */
#define memcpy stage_memcpy
#define memset stage_memset
#define iovec stage_iovec
#define msghdr stage_msghdr
#define pollfd stage_pollfd
#include "../../nsenter/stage/sys.h"
#undef START /* libc has a start of its own */
#define START ""
#undef sys
#define sys(...) SYS_PICK(__VA_ARGS__, K_6, K_5, K_4, K_3, K_2, K_1, K_0)(__VA_ARGS__)
#define K_0(n) kernel(n, 0, 0)
#define K_1(n, a) kernel(n, SYS_ARG(a), 0)
#define K_2(n, a, b) kernel(n, SYS_ARG(a), SYS_ARG(b))
#define K_3(n, a, b, c) ((void)SYS_ARG(c), kernel(n, SYS_ARG(a), SYS_ARG(b)))
#define K_4(n, a, b, c, d) ((void)SYS_ARG(c), (void)SYS_ARG(d), kernel(n, SYS_ARG(a), SYS_ARG(b)))
#define K_5(n, a, b, c, d, e) ((void)SYS_ARG(c), (void)SYS_ARG(d), kernel5(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(e)))
#define K_6(n, a, b, c, d, e, f) ((void)SYS_ARG(c), (void)SYS_ARG(d), kernel5(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(e)))
static long kernel5(long n, long a, long b, long e);
static long kernel(long n, long a, long b) { return kernel5(n, a, b, 0); }

#include "../../nsenter/stage/main.c"
#include "../../nsenter/stage/copyup.c"
#include "../../nsenter/stage/enter.c"
#include "../../nsenter/stage/exec.c"
#include "../../nsenter/stage/mount.c"
#include "../../nsenter/stage/process.c"
#include "../../nsenter/stage/resolve.c"

static jmp_buf out;
static const uint8_t *answers, *answers_end;
static volatile size_t read_by_kernel;

static uint8_t answer(void) { return answers < answers_end ? *answers++ : 0; }

/* The kernel reads its arguments. This function reads them instead, so that the sanitizer notices. */
static void read_string(const char *s) { read_by_kernel += len_of(s); }

static void read_strings(char **v)
{
	for (; *v; v++)
		read_string(*v);
}

static long statx(struct statx *st)
{
	static const uint16_t types[] = {S_IFDIR, S_IFREG, S_IFCHR, S_IFLNK};

	__builtin_memset(st, 0, sizeof(*st));
	st->stx_mode = types[answer() % 4];
	st->stx_rdev_major = 1;
	st->stx_rdev_minor = answer();
	return 0;
}

static long receive(struct message *m)
{
	__builtin_memset(m, 0, sizeof(*m));
	m->kind = MSG_PROCEED;
	m->value = 12345 * answer();
	return sizeof(*m);
}

static long kernel5(long n, long a, long b, long e)
{
	static const int errors[] = {-ENOENT, -EEXIST, -EAGAIN, -ENOTDIR, -EINTR, -EACCES, -ENOSYS, -ELOOP};
	uint8_t r;

	switch (n) {
	case __NR_exit_group:
		longjmp(out, 1);
	case __NR_prctl:
	case __NR_clock_gettime:
	case __NR_close:
		return 0;
	case __NR_openat2:
	case __NR_openat:
	case __NR_mkdirat:
	case __NR_mknodat:
	case __NR_setns:
		if (b && n != __NR_setns)
			read_string((const char *)b);
		break;
	case __NR_chdir:
		read_string((const char *)a);
		break;
	case __NR_recvfrom:
		return receive((struct message *)b);
	case __NR_statx:
		return statx((struct statx *)e);
	case __NR_clone3:
		return 1 + answer();
	case __NR_getdents64:
	case __NR_sendfile:
		return 0;
	case __NR_getcwd:
		((char *)a)[0] = answer() % 8 ? '/' : '(';
		((char *)a)[1] = 0;
		return 2;
	case __NR_readlinkat:
		return answer();
	case __NR_execve:
		read_string((const char *)a);
		read_strings((char **)b);
		return -ENOENT;
	}
	if (answers == answers_end) /* so that nothing waits for ever */
		return -EIO;
	r = answer();
	return r < 32 ? errors[r % 8] : r;
}

/* Reports whether do_seccomp would start a real thread for this step. */
static int starts_thread(const struct plan_step *s)
{
	return s->op == OP_SECCOMP && s->n[SECCOMP_N_FLAGS] & SECCOMP_FILTER_FLAG_NEW_LISTENER;
}

static void carry_out(char *plan, uint32_t nfds)
{
	struct stage c = {.root = -1, .null = -1, .masked = -1, .channel = 3, .control = 3, .base = 5, .pid = 42};
	(void)nfds;
	c.h = (const struct plan_header *)plan;
	c.steps = (const struct plan_step *)(plan + sizeof(*c.h));
	c.data = plan + c.h->data;
	for (uint32_t i = 0; i < c.h->nsteps; i++)
		if (starts_thread(&c.steps[i]))
			return;
	if (setjmp(out) == 0)
		run(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan_header h;
	size_t len = size;

	/* The plan has the size that it names, and the results follow. If that size is wrong, the
	 * whole input is the plan. */
	if (size >= sizeof(h)) {
		__builtin_memcpy(&h, data, sizeof(h));
		if (h.size <= size)
			len = h.size;
	}
	char *plan = malloc(len ? len : 1); /* exactly: one byte more is an error */
	__builtin_memcpy(plan, data, len);
	if (len >= sizeof(h) && h.magic == 0) {
		((struct plan_header *)plan)->magic = PLAN_MAGIC;
		((struct plan_header *)plan)->fingerprint = PLAN_FINGERPRINT;
	}
	answers = data + len;
	answers_end = data + size;
	uint32_t nfds = len >= sizeof(h) ? ((struct plan_header *)plan)->nfds % 16 : 0;
	if (!check_plan(plan, len, nfds))
		carry_out(plan, nfds);
	free(plan);
	return 0;
}
