/* Namespaces: joining and making them, and setting up a new one. */
#include "stage.h"

#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>

void do_join(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_setns, fd(c, s, JOIN_FD_FD), s->n[JOIN_N_TYPES]), "setns", str(c, s, JOIN_S_NAME));
}

void do_unshare(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_unshare, s->n[UNSHARE_N_TYPES]), "unshare", "");
}

/* The new process replaces this one. It is a child of the same parent (CLONE_PARENT). Only this
 * process can tell the parent its pid, because this one still is outside of a new pid namespace. */
void do_fork(struct stage *c, const struct plan_step *s)
{
	struct clone_args args = {.flags = s->n[FORK_N_TYPES] | CLONE_PARENT};
	int gate[2];
	char none;

	must(c, sys(__NR_pipe2, gate, O_CLOEXEC), "pipe2", "");
	long pid = must(c, sys(__NR_clone3, &args, sizeof(args)), "clone3", "");
	if (pid > 0) {
		tell(c, MSG_FORKED, pid, 0);
		end(0);
	}
	/* The new process stays silent until the parent knows that it speaks now. Otherwise the
	 * parent would take its messages for those of the old process. */
	sys(__NR_close, gate[1]);
	while (sys(__NR_read, gate[0], &none, 1) == -EINTR)
		;
	sys(__NR_close, gate[0]);
	/* Only root can write the mappings of a process that is not dumpable. */
	if (s->n[FORK_N_MAPPABLE])
		sys(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

void do_identity(struct stage *c, const struct plan_step *s)
{
	(void)s;
	sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	must(c, sys(__NR_setresgid, 0, 0, 0), "setresgid", "0");
	must(c, sys(__NR_setresuid, 0, 0, 0), "setresuid", "0");
	sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void do_sync(struct stage *c, const struct plan_step *s)
{
	tell(c, MSG_PHASE, (int64_t)s->n[SYNC_N_PHASE], 0);
	c->pid = hear(c);
}

void do_keyring(struct stage *c, const struct plan_step *s)
{
	/* Without a name the keyring is certainly new. All containers of a user share the names
	 * of keyrings. */
	long ring = sys(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);

	(void)s;
	if (ring == -ENOSYS) /* a kernel without keys has nothing to keep apart */
		return;
	must(c, ring, "keyctl", "KEYCTL_JOIN_SESSION_KEYRING");
}

void do_enter_time(struct stage *c, const struct plan_step *s)
{
	const char *path = "self/ns/time_for_children";
	int f = (int)must(c, sys(__NR_openat, fd(c, s, ENTER_TIME_FD_PROC), path, O_RDONLY | O_CLOEXEC), "openat", path);

	must(c, sys(__NR_setns, f, CLONE_NEWTIME), "setns", path);
	sys(__NR_close, f);
}

static void write_proc(struct stage *c, int proc, const char *name, const char *text, uint32_t len)
{
	int f = (int)must(c, sys(__NR_openat, proc, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW), "openat", name);

	must(c, sys(__NR_write, f, text, len), "write", name);
	sys(__NR_close, f);
}

void do_sysctl(struct stage *c, const struct plan_step *s)
{
	char path[4096] = "sys/";
	const char *key = str(c, s, SYSCTL_S_KEY);

	if (size(s, SYSCTL_S_KEY) + 5 > sizeof(path))
		fail(c, "openat", -ENAMETOOLONG, key);
	memcpy(path + 4, key, size(s, SYSCTL_S_KEY) + 1);
	write_proc(c, fd(c, s, SYSCTL_FD_PROC), path, str(c, s, SYSCTL_S_VALUE), size(s, SYSCTL_S_VALUE));
}

void do_label(struct stage *c, const struct plan_step *s)
{
	write_proc(c, fd(c, s, LABEL_FD_PROC), str(c, s, LABEL_S_FILE), str(c, s, LABEL_S_TEXT), size(s, LABEL_S_TEXT));
}

void do_hostname(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_sethostname, str(c, s, HOSTNAME_S_NAME), size(s, HOSTNAME_S_NAME)), "sethostname", "");
}

void do_domainname(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_setdomainname, str(c, s, DOMAINNAME_S_NAME), size(s, DOMAINNAME_S_NAME)), "setdomainname", "");
}

void do_loopback(struct stage *c, const struct plan_step *s)
{
	struct {
		char name[16];
		int16_t flags;
		char rest[22];
	} lo = {.name = "lo", .flags = IFF_UP};
	int f = (int)must(c, sys(__NR_socket, AF_INET, SOCK_DGRAM | O_CLOEXEC, 0), "socket", "");

	(void)s;
	must(c, sys(__NR_ioctl, f, SIOCSIFFLAGS, &lo), "ioctl", "SIOCSIFFLAGS of lo");
	sys(__NR_close, f);
}
