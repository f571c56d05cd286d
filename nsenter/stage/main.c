/* The stage's entry, the check of the plan, the loop over its steps, and the messages to and
 * from the parent. */
#include "stage.h"

#include <linux/close_range.h>
#include <linux/prctl.h>

#define HANDLER(op, name) [OP_##op] = do_##name,
static step_fn *const handlers[OP_COUNT] = {PLAN_OPS(HANDLER)};
#undef HANDLER

/* The compiler may call these to copy structures, even without a libc. */
void *memcpy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)to)[i] = (char)c;
	return to;
}

/* A filter may forbid sendmsg(2) alone: the container's, or one that davit itself runs under. */
long send_message(int socket, const struct message *m, const char *detail, size_t len)
{
	struct iovec iov[2] = {{m, sizeof(*m)}, {detail, len}};
	struct msghdr msg = {.iov = iov, .iovlen = 2};
	long r = sys(__NR_sendmsg, socket, &msg, MSG_NOSIGNAL);
	if (r < 0 && r != -EPIPE) /* not after EPIPE, since writev(2) would raise SIGPIPE */
		r = sys(__NR_writev, socket, iov, 2);
	return r;
}

/* A filter may forbid exit_group(2), too. Then a trap ends the process: the kernel forces its
 * signal even on pid 1 of a pid namespace, and even if the process ignores or blocks it
 * (force_sig_info_to_task in the kernel's signal.c). */
_Noreturn void end(int status)
{
	sys(__NR_exit_group, status);
	__builtin_trap();
}

_Noreturn void fail(struct stage *c, const char *call, long err, const char *detail)
{
	struct message *m = &c->error;

	*m = (struct message){.kind = MSG_ERROR, .step = c->step, .err = (int32_t)-err};
	for (size_t i = 0; call[i] && i + 1 < sizeof(m->call); i++)
		m->call[i] = call[i];
	if (c->reporter == REPORTER_WATCHES) {
		c->detail = detail;
		__atomic_store_n(&c->reporter, REPORTER_TELLS, __ATOMIC_RELEASE);
		for (;;) /* the reporter ends the process */
			__asm__ volatile("" ::: "memory");
	}
	if (c->channel >= 0)
		send_message(c->channel, m, detail, len_of(detail));
	end(1);
}

void tell(struct stage *c, uint32_t kind, int64_t value, int64_t end)
{
	struct message m = {.kind = kind, .step = c->step, .value = value, .end = end};

	if (c->channel < 0)
		return;
	long r = send_message(c->channel, &m, 0, 0);
	if (kind != MSG_TRACE) /* the caller that wanted the trace may be gone by now */
		must(c, r, "sendmsg", "");
}

void tell_output(struct stage *c, int stream, const char *text, size_t len)
{
	struct message m = {.kind = MSG_OUTPUT, .step = c->step, .value = stream};

	if (c->channel >= 0) /* it is no failure if nobody reads the output any more */
		send_message(c->channel, &m, text, len);
}

int64_t hear(struct stage *c)
{
	struct message m;
	struct iovec iov = {&m, sizeof(m)};
	long r;

	for (;;) {
		struct cmsg_fd cmsg = {.fd = -1};
		struct msghdr msg = {.iov = &iov, .iovlen = 1, .control = &cmsg, .controllen = sizeof(cmsg)};

		do
			r = sys(__NR_recvmsg, c->control, &msg, MSG_CMSG_CLOEXEC);
		while (r == -EINTR);
		if (r == 0) /* the creator is gone, and nobody can use this container */
			end(1);
		if (must(c, r, "recvmsg", "") != sizeof(m))
			fail(c, "recvmsg", -EPROTO, "a message of another size");
		if (m.kind == MSG_PROCEED)
			return m.value;
		if (m.kind != MSG_OPENED || m.value < 0 || m.value >= c->nfds || cmsg.fd < 0)
			fail(c, "recvmsg", -EPROTO, "a message out of turn");
		must(c, sys(__NR_dup3, cmsg.fd, c->base + (int)m.value, O_CLOEXEC), "dup3", "");
		sys(__NR_close, cmsg.fd);
	}
}

int send_fd(int socket, int fd, const char *text, size_t len)
{
	struct cmsg_fd cmsg = {.len = sizeof(size_t) + 3 * sizeof(int32_t), .level = SOL_SOCKET, .type = SCM_RIGHTS, .fd = fd};
	struct iovec iov = {text, len};
	struct msghdr msg = {.iov = &iov, .iovlen = 1, .control = &cmsg, .controllen = sizeof(cmsg)};
	return (int)sys(__NR_sendmsg, socket, &msg, MSG_NOSIGNAL);
}

/* Turns an argument that is a list, an array of offsets, into an array of pointers, in place. */
char **strings(struct stage *c, const struct plan_step *s, int slot)
{
	uint64_t *v = (uint64_t *)(c->data + s->s[slot].off);
	uint32_t n = s->s[slot].len / sizeof(*v), limit = c->h->size - c->h->data;

	if (s->s[slot].off % sizeof(*v) || n == 0 || v[n - 1] != 0)
		fail(c, "plan", -EINVAL, "a list without an end");
	for (uint32_t i = 0; i + 1 < n; i++) {
		if (v[i] == 0 || v[i] >= limit)
			fail(c, "plan", -EINVAL, "a string outside the plan");
		v[i] += (uint64_t)c->data;
	}
	return (char **)v;
}

/* Overwrites the place for the pid in a text with the digits of the pid. */
void fill_pid(struct stage *c, const struct plan_step *s, int slot)
{
	char *p = c->data + s->s[slot].off, digits[24];
	int n = 0;

	for (int64_t v = c->pid; v > 0 && n < PLAN_PID_MARK_LEN; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	for (uint32_t i = 0; i < size(s, slot); i++)
		if (p[i] == PLAN_PID_MARK_BYTE) {
			int k = 0;
			for (; k < PLAN_PID_MARK_LEN && i + (uint32_t)k < size(s, slot) && p[i + k] == PLAN_PID_MARK_BYTE; k++)
				p[i + k] = k < n ? digits[n - 1 - k] : ' ';
			i += (uint32_t)k - 1;
		}
}

/* Invariant 7: every length and offset in a plan is checked before any is used. strings() checks
 * the content of lists. */
const char *check_plan(const char *plan, uint64_t len, uint32_t nfds)
{
	const struct plan_header *h = (const void *)plan;
	const struct plan_step *s = (const void *)(plan + sizeof(*h));

	if (len < sizeof(*h) + 1 || len > PLAN_MAX_SIZE || h->magic != PLAN_MAGIC || h->fingerprint != PLAN_FINGERPRINT)
		return "not a plan of this build";
	if (h->size != len || h->nsteps == 0 || h->nsteps > PLAN_MAX_SIZE / sizeof(*s) || h->nfds != nfds ||
	    h->data != sizeof(*h) + h->nsteps * sizeof(*s) || h->data >= len || plan[len - 1] != 0)
		return "sizes that disagree";
	for (uint32_t i = 0; i < h->nsteps; i++) {
		if (s[i].op >= OP_COUNT)
			return "an unknown step";
		for (int k = 0; k < PLAN_FDS; k++)
			if (s[i].fd[k] > nfds)
				return "a descriptor that was not given";
		for (int k = 0; k < PLAN_REFS; k++) {
			uint64_t end = (uint64_t)s[i].s[k].off + s[i].s[k].len;
			if (end >= len - h->data || plan[h->data + end] != 0)
				return "a string outside the plan";
		}
	}
	return 0;
}

static int64_t now(void)
{
	struct {
		int64_t sec, nsec;
	} t = {0, 0};
	sys(__NR_clock_gettime, CLOCK_MONOTONIC, &t);
	return t.sec * 1000000000 + t.nsec;
}

static void run(struct stage *c)
{
	for (uint32_t i = 0; i < c->h->nsteps; i++) {
		const struct plan_step *s = &c->steps[i];
		int64_t begin = c->h->trace ? now() : 0;

		c->step = i;
		if (c->h->trace && s->op == OP_EXEC && !c->filtered)
			tell(c, MSG_TRACE, begin, begin);
		handlers[s->op](c, s);
		c->step = i;
		if (c->h->trace && !c->filtered)
			tell(c, MSG_TRACE, begin, now());
	}
}

static uint64_t number(const char *s)
{
	uint64_t n = 0;
	while (*s >= '0' && *s <= '9')
		n = n * 10 + (uint64_t)(*s++ - '0');
	return n;
}

/* Resets signals that davit's caller has blocked or ignored. Go's runtime handles all others, so
 * the exec has reset those. It leaves these six alone. */
static void default_signals(void)
{
	static const uint8_t left[] = {1, 2, 18, 20, 21, 22}; /* HUP, INT, CONT, TSTP, TTIN, TTOU */
	uint64_t none = 0, action[4] = {0}; /* SIG_DFL, flags, restorer, mask */

	sys(__NR_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof(none));
	for (size_t i = 0; i < sizeof(left); i++)
		sys(__NR_rt_sigaction, left[i], action, 0, sizeof(none));
}

/* argv: the name, the number of the plan's descriptor, the plan's size, the number of
 * descriptors that follow. The control socket comes right after the plan. */
_Noreturn void stage_main(long *sp);
__attribute__((used)) _Noreturn void stage_main(long *sp)
{
	char **argv = (char **)(sp + 1);
	struct stage c = {.root = -1, .null = -1, .masked = -1, .mounts = -1, .host = -1, .entered = -1, .channel = -1};
	const char *wrong;

	if (sp[0] != 4)
		end(2);
	/* Invariant 5 comes first: from now on nobody may look into this process. */
	sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	int plan = (int)number(argv[1]);
	uint64_t len = number(argv[2]);
	uint32_t nfds = (uint32_t)number(argv[3]);
	c.control = c.channel = plan + 1;
	c.base = plan + 2;
	c.nfds = (int)nfds;
	/* Invariant 2: only stdio and what the caller asked for pass the exec. These have the
	 * numbers below the plan's. */
	must(&c, sys(__NR_close_range, plan, ~0U, CLOSE_RANGE_CLOEXEC), "close_range", "");
	default_signals();
	sys(__NR_prctl, PR_SET_NAME, "davit-stage", 0, 0, 0);

	long map = sys_map(len, plan);
	must(&c, map < 0 && map > -4096 ? map : 0, "mmap", "the plan");
	wrong = check_plan((const char *)map, len, nfds);
	if (wrong)
		fail(&c, "plan", -EINVAL, wrong);
	c.h = (const struct plan_header *)map;
	c.steps = (const struct plan_step *)(map + (long)sizeof(*c.h));
	c.data = (char *)map + c.h->data;
	c.umask = sys(__NR_umask, 0);
	run(&c);
	fail(&c, "plan", -EINVAL, "no exec at the end");
}

__asm__(START);
