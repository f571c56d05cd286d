/* From "created" to the container process: find the program, wait for start, run hooks, load the
 * filter, exec. */
#include "stage.h"

#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/wait.h>

/* Closes all descriptors that no later step needs. Close-on-exec is not enough: in the middle of
 * an exec they are still open, but the process already has its new memory, which belongs to the
 * container's user namespace. A process with CAP_SYS_PTRACE there could open them in
 * /proc/PID/fd. */
static void close_others(struct stage *c)
{
	const struct plan_step *end = c->steps + c->h->nsteps;
	unsigned int next = (unsigned int)c->base;

	sys(__NR_close, c->base - 2); /* the plan; the control socket has the next number */
	for (;;) {
		unsigned int kept = ~0U;
		for (const struct plan_step *s = c->steps + c->step; s < end; s++)
			for (int slot = 0; slot < PLAN_FDS; slot++)
				if (fd(c, s, slot) >= (int)next && (unsigned int)fd(c, s, slot) < kept)
					kept = (unsigned int)fd(c, s, slot);
		if (kept > next)
			sys(__NR_close_range, next, kept == ~0U ? kept : kept - 1, 0);
		if (kept == ~0U)
			break;
		next = kept + 1;
	}
	c->root = c->null = c->masked = -1;
}

/* Returns the call for the error if a file may not be executed. The hint depends on it: the
 * mount is noexec, or no bit of the mode allows it. */
static const char *forbids(struct stage *c, int file)
{
	struct statfs fs = {.f_flags = 0};

	sys(__NR_fstatfs, file, &fs);
	if (fs.f_flags & ST_NOEXEC)
		return "execve noexec";
	return mode_of(c, file, 0) & 0111 ? "execve" : "execve mode";
}

void do_program(struct stage *c, const struct plan_step *s)
{
	char **paths = strings(c, s, PROGRAM_L_PATHS);
	const char *where = str(c, s, PROGRAM_S_NAME), *call = "execve", *why = call;
	long r, wrong = -ENOENT;

	for (char **p = paths; *p; p++) {
		int f = (int)(r = sys(__NR_openat, AT_FDCWD, *p, O_PATH | O_CLOEXEC));
		if (r >= 0) {
			r = (mode_of(c, f, 0) & S_IFMT) == S_IFDIR ? -EISDIR : sys(__NR_faccessat2, AT_FDCWD, *p, X_OK, AT_EACCESS);
			why = r == -EACCES ? forbids(c, f) : "execve";
			sys(__NR_close, f);
		}
		if (r == 0) {
			c->program = *p;
			close_others(c);
			return;
		}
		if (r != -ENOENT && (r != -ENOTDIR || !paths[1])) {
			wrong = r;
			where = *p;
			call = why;
		}
	}
	fail(c, call, wrong, where);
}

/* As the first process of a pid namespace the stage gets no signal that it does not handle
 * (pid_namespaces(7)). It has nothing to clean up. The exec resets the handlers (signal(7)). */
static _Noreturn void end_by_signal(int sig) { end(128 + sig); }

static void end_by_signals(void)
{
	static const uint8_t fatal[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM}; /* the signals that end runc's waiting process */
	/* x86 requires a restorer, but the handler never returns to it. */
	uint64_t action[4] = {(uint64_t)end_by_signal, SA_RESTORER, (uint64_t)end_by_signal, 0};

	for (size_t i = 0; i < sizeof(fatal); i++)
		sys(__NR_rt_sigaction, fatal[i], action, 0, sizeof(action[3]));
}

void do_ready(struct stage *c, const struct plan_step *s)
{
	const struct plan_step *next = s + 1, *end_of_plan = c->steps + c->h->nsteps;

	/* This must be done before create returns, because a kill may follow at once. */
	if (next < end_of_plan && next->op == OP_WAIT_START && fd(c, next, WAIT_START_FD_SOCKET) >= 0)
		end_by_signals();
	tell(c, MSG_READY, 0, 0);
}

void do_wait_start(struct stage *c, const struct plan_step *s)
{
	int socket = fd(c, s, WAIT_START_FD_SOCKET);
	int64_t moment[2] = {0, 1000000}; /* 1 ms */
	int tries = 1000;
	long r;

	if (socket < 0) { /* no socket: the creator itself starts the container */
		hear(c);
		return;
	}
	c->channel = -1;
	sys(__NR_close, c->control);
	/* The host may lack memory or files for a moment, long after create has succeeded. */
	for (;;) {
		r = sys(__NR_accept4, socket, 0, 0, O_CLOEXEC);
		if (r == -EINTR || r == -ECONNABORTED)
			continue;
		if (!(r == -ENOMEM || r == -ENFILE || r == -EMFILE) || --tries == 0)
			break;
		sys(__NR_nanosleep, moment, 0);
	}
	must(c, r, "accept4", "");
	c->channel = (int)r;
}

/* The filter applies to the thread that loads it, and may forbid each of its calls or send it to
 * a listener. So a second thread does what must be done after the load: it sends the
 * notification descriptor, and it reports a failure if the filter may keep the first thread from
 * doing so. It ends when the first thread execs. */
struct second {
	struct stage *c;
	const struct plan_step *s;
	int fd;	   /* for notifications; -1 until the filter is loaded, -2 if there is none */
	int sent;  /* 1, or a negative errno */
	int first; /* 0 once the first thread has ended (CLONE_CHILD_CLEARTID of clone(2)) */
};

/* Reports the failure, or that the filter has killed the first thread: SCMP_ACT_KILL_THREAD does
 * not kill this one. */
static _Noreturn void report(struct second *n)
{
	static const struct message killed = {.kind = MSG_ERROR, .call = "killed by the filter"};
	struct stage *c = n->c;
	int64_t moment[2] = {0, 100000}; /* 0.1 ms; it polls, because the first thread may not be allowed to wake it */

	while (__atomic_load_n(&c->reporter, __ATOMIC_ACQUIRE) == REPORTER_WATCHES) {
		if (__atomic_load_n(&n->first, __ATOMIC_RELAXED) == 0) {
			c->error = killed;
			c->error.step = c->step;
			c->detail = "";
			break;
		}
		sys(__NR_ppoll, 0, 0, moment, 0, 0);
		moment[1] = 100000; /* ppoll has changed it */
	}
	if (c->channel >= 0)
		send_message(c->channel, &c->error, c->detail, len_of(c->detail));
	end(1);
}

static __attribute__((used)) _Noreturn void second_thread(struct second *n)
{
	int listener;

	while ((listener = __atomic_load_n(&n->fd, __ATOMIC_ACQUIRE)) == -1)
		sys(__NR_sched_yield);
	if (listener >= 0) {
		int r = send_fd(fd(n->c, n->s, SECCOMP_FD_LISTENER), listener, str(n->c, n->s, SECCOMP_S_STATE), size(n->s, SECCOMP_S_STATE));
		/* The filter may forbid the first thread to close them. A process that looks
		 * into this one during the exec must not find them. */
		sys(__NR_close, listener);
		sys(__NR_close, fd(n->c, n->s, SECCOMP_FD_LISTENER));
		__atomic_store_n(&n->sent, r < 0 ? r : 1, __ATOMIC_RELEASE);
	}
	report(n);
}

enum { THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM };

/* Starts the second thread if it has something to do. If it would only report failures, the
 * stage goes on without it: a limit on processes may forbid a thread. */
static int start_second(struct second *n)
{
	static _Alignas(16) char stack[8192];
	int listens = (n->s->n[SECCOMP_N_FLAGS] & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;

	if (!listens && !n->s->n[SECCOMP_N_REPORTER])
		return 0;
	sys(__NR_set_tid_address, &n->first);
	long r = start_thread(THREAD, n, stack + sizeof(stack));
	if (listens)
		must(n->c, r, "clone", "");
	if (r > 0)
		n->c->reporter = REPORTER_WATCHES;
	return r > 0;
}

/* Loads the filter of a step. */
static void load_filter(struct stage *c, const struct plan_step *s)
{
	struct {
		uint16_t len;
		const void *filter;
	} prog = {(uint16_t)(size(s, SECCOMP_S_PROGRAM) / 8), str(c, s, SECCOMP_S_PROGRAM)};
	static struct second n; /* static, since the thread uses it during all later steps */
	uint64_t flags = s->n[SECCOMP_N_FLAGS];

	n = (struct second){.c = c, .s = s, .fd = -1, .first = 1};
	if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		fill_pid(c, s, SECCOMP_S_STATE);
	int second = start_second(&n);
	c->filtered = 1;
	long r = sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (second) {
		int listens = r >= 0 && (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER);
		__atomic_store_n(&n.fd, listens ? (int)r : -2, __ATOMIC_RELEASE);
		while (listens && __atomic_load_n(&n.sent, __ATOMIC_ACQUIRE) == 0)
			;
		if (n.sent < 0)
			fail(c, "sendmsg", n.sent, "the seccomp listener");
	}
	must(c, r, "seccomp", "");
}

void do_seccomp(struct stage *c, const struct plan_step *s)
{
	if (s->n[SECCOMP_N_FORHOOKS])
		c->hook_filter = s;
	else
		load_filter(c, s);
}

/* Runs in the hook's process, until its exec. */
static _Noreturn void become_hook(struct stage *c, const struct plan_step *s, int input, const int *output)
{
	char **args = (char **)(c->data + s->s[HOOK_L_ARGS].off), **env = (char **)(c->data + s->s[HOOK_L_ENV].off);

	/* A createContainer hook gets no filter: it runs before the settings of the container
	 * process are made. */
	const struct plan_step *filter = s->n[HOOK_N_ATROOT] ? 0 : c->hook_filter;
	int kept = filter && filter->fd[SECCOMP_FD_LISTENER] ? fd(c, filter, SECCOMP_FD_LISTENER) : c->channel;
	int low = kept < c->channel ? kept : c->channel, high = kept < c->channel ? c->channel : kept;

	sys(__NR_dup3, input, 0, 0);
	sys(__NR_dup3, output[0], 1, 0);
	sys(__NR_dup3, output[1], 2, 0);
	if (s->n[HOOK_N_ATROOT]) /* later hooks run after the container's own umask was set */
		sys(__NR_umask, c->umask);
	/* As in close_others, these are closed before the exec. The hook does not get the
	 * preserved ones either. The channel stays open for errors. */
	sys(__NR_close_range, 3, low - 1, 0);
	if (high > low + 1)
		sys(__NR_close_range, low + 1, high - 1, 0);
	sys(__NR_close_range, high + 1, ~0U, 0);
	/* Only the hook's process loads the filter: the stage still has to make calls that the
	 * filter may forbid. */
	if (filter)
		load_filter(c, filter);
	fail(c, "execve", sys(__NR_execve, str(c, s, HOOK_S_PATH), args, env), str(c, s, HOOK_S_PATH));
}

/* Sends the parent what a hook has written and can be read now, in at most rounds messages. At
 * the end of file it closes fd and sets it to -1. */
static void pass_on(struct stage *c, int *fd, int stream, int rounds)
{
	char text[4096]; /* nsenter/message.go receives at most as much */
	long r = 1;

	while (*fd >= 0 && r > 0 && rounds-- > 0) {
		r = sys(__NR_read, *fd, text, sizeof(text));
		if (r > 0) {
			tell_output(c, stream, text, (size_t)r);
		} else if (r != -EAGAIN && r != -EINTR) {
			sys(__NR_close, *fd);
			*fd = -1;
		}
	}
}

/* Writes the state to the hook's input, passes its output on, and waits for its end. Returns 0
 * if the time is over before. */
static long await_hook(struct stage *c, const struct plan_step *s, int pidfd, int input, int *output)
{
	const char *text = str(c, s, HOOK_S_STATE);
	size_t left = size(s, HOOK_S_STATE);
	int64_t timeout[2] = {(int64_t)s->n[HOOK_N_TIMEOUT], 0}; /* the kernel subtracts the time that has passed */
	struct pollfd p[4] = {{.fd = pidfd, .events = POLLIN}, {.fd = input, .events = POLLOUT}};
	long r;

	do {
		r = left ? sys(__NR_write, input, text, left) : 0;
		if (r > 0) {
			text += r;
			left -= (size_t)r;
		}
		if (r < 0 && r != -EAGAIN && r != -EINTR) /* the hook has closed its input */
			left = 0;
		if (left == 0 && p[1].fd >= 0) {
			sys(__NR_close, input);
			p[1].fd = -1;
		}
		for (int i = 0; i < 2; i++) {
			pass_on(c, &output[i], 1 + i, 1);
			p[2 + i] = (struct pollfd){.fd = output[i], .events = POLLIN};
		}
		r = sys(__NR_ppoll, p, 4, s->n[HOOK_N_TIMEOUT] ? timeout : 0, 0, 0);
	} while (r == -EINTR || (r > 0 && !p[0].revents));
	if (p[1].fd >= 0)
		sys(__NR_close, input);
	return r;
}

void do_hook(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, HOOK_S_PATH);
	int pipe[2], output[2], theirs[2], pidfd = -1, status[32] = {0};
	struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)&pidfd, .exit_signal = SIGCHLD};

	if (s->n[HOOK_N_ATROOT])
		must(c, sys(__NR_fchdir, c->root), "fchdir", "/");
	/* fill_pid changes bytes of the plan, so it comes before strings, which turns some into
	 * pointers. */
	fill_pid(c, s, HOOK_S_STATE);
	strings(c, s, HOOK_L_ARGS);
	strings(c, s, HOOK_L_ENV);
	must(c, sys(__NR_pipe2, pipe, O_CLOEXEC), "pipe2", path);
	must(c, sys(__NR_fcntl, pipe[1], F_SETFL, O_NONBLOCK), "fcntl", path);
	for (int i = 0; i < 2; i++) {
		int both[2];
		must(c, sys(__NR_pipe2, both, O_CLOEXEC), "pipe2", path);
		output[i] = both[0];
		theirs[i] = both[1];
		must(c, sys(__NR_fcntl, output[i], F_SETFL, O_NONBLOCK), "fcntl", path);
	}
	if (must(c, sys(__NR_clone3, &args, sizeof(args)), "clone3", path) == 0)
		become_hook(c, s, pipe[0], theirs);
	sys(__NR_close, pipe[0]);
	sys(__NR_close, theirs[0]);
	sys(__NR_close, theirs[1]);
	/* A hook may end without reading its state. Then a write fails, and its SIGPIPE must not
	 * end the stage. */
	uint64_t sigpipe = 1 << (SIGPIPE - 1);
	sys(__NR_rt_sigprocmask, SIG_BLOCK, &sigpipe, 0, sizeof(sigpipe));
	int overdue = await_hook(c, s, pidfd, pipe[1], output) == 0;
	if (overdue)
		sys(__NR_pidfd_send_signal, pidfd, SIGKILL, 0, 0);
	must(c, sys(__NR_waitid, P_PIDFD, pidfd, status, WEXITED, 0), "waitid", path);
	sys(__NR_close, pidfd);
	/* A full pipe holds 16 messages. The stage reads no more, since a process that the hook
	 * left behind may go on writing. */
	for (int i = 0; i < 2; i++) {
		pass_on(c, &output[i], 1 + i, 16);
		if (output[i] >= 0)
			sys(__NR_close, output[i]);
	}
	if (overdue)
		fail(c, "hook", -ETIMEDOUT, path);
	/* In siginfo_t of 64-bit machines [2] is si_code and [6] is si_status. */
	if (status[6])
		fail(c, status[2] == CLD_EXITED ? "hook exit status" : "hook signal", -status[6], path);
	/* Takes the SIGPIPE of those writes; otherwise unblocking it would deliver it. */
	int64_t zero[2] = {0, 0};
	sys(__NR_rt_sigtimedwait, &sigpipe, 0, zero, sizeof(sigpipe));
	sys(__NR_rt_sigprocmask, SIG_UNBLOCK, &sigpipe, 0, sizeof(sigpipe));
}

void do_exec(struct stage *c, const struct plan_step *s)
{
	char **args = strings(c, s, EXEC_L_ARGS), **env = strings(c, s, EXEC_L_ENV);

	if (!c->program)
		fail(c, "plan", -EINVAL, "exec without a program");
	fail(c, "execve", sys(__NR_execve, c->program, args, env), c->program);
}
