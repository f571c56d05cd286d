/* The attributes of the container process. */
#include "stage.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/stat.h>
#include <asm/ioctls.h>
#include <asm/resource.h>
#include <asm/statfs.h>
#include <asm/termios.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>

void do_setsid(struct stage *c, const struct plan_step *s)
{
	(void)s;
	must(c, sys(__NR_setsid), "setsid", "");
}

void do_rlimit(struct stage *c, const struct plan_step *s)
{
	uint64_t limit[2] = {s->n[RLIMIT_N_SOFT], s->n[RLIMIT_N_HARD]};

	must(c, sys(__NR_prlimit64, 0, s->n[RLIMIT_N_RESOURCE], limit, 0), "prlimit64", str(c, s, RLIMIT_S_NAME));
}

void do_lift_no_file(struct stage *c, const struct plan_step *s)
{
	uint64_t all[2];

	(void)s;
	must(c, sys(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, c->nofile), "prlimit64", "RLIMIT_NOFILE");
	all[0] = all[1] = c->nofile[1];
	must(c, sys(__NR_prlimit64, 0, RLIMIT_NOFILE, all, 0), "prlimit64", "RLIMIT_NOFILE");
}

void do_restore_no_file(struct stage *c, const struct plan_step *s)
{
	(void)s;
	must(c, sys(__NR_prlimit64, 0, RLIMIT_NOFILE, c->nofile, 0), "prlimit64", "RLIMIT_NOFILE");
}

void do_scheduler(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_sched_setattr, 0, str(c, s, SCHEDULER_S_ATTR), 0), "sched_setattr", "");
}

void do_io_priority(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, s->n[IO_PRIORITY_N_VALUE]), "ioprio_set", "");
}

void do_affinity(struct stage *c, const struct plan_step *s)
{
	unsigned char all[1024]; /* 8192 CPUs, the most that Linux supports */

	if (size(s, AFFINITY_S_MASK)) {
		must(c, sys(__NR_sched_setaffinity, 0, size(s, AFFINITY_S_MASK), str(c, s, AFFINITY_S_MASK)), "sched_setaffinity", "");
		return;
	}
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = 0xff;
	sys(__NR_sched_setaffinity, 0, sizeof(all), all); /* the config does not ask for it, so a failure is no error */
}

void do_memory_policy(struct stage *c, const struct plan_step *s)
{
	const char *nodes = size(s, MEMORY_POLICY_S_NODES) ? str(c, s, MEMORY_POLICY_S_NODES) : 0;

	must(c, sys(__NR_set_mempolicy, s->n[MEMORY_POLICY_N_MODE], nodes, s->n[MEMORY_POLICY_N_MAX]), "set_mempolicy", "");
}

void do_personality(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_personality, s->n[PERSONALITY_N_VALUE]), "personality", "");
}

void do_umask(struct stage *c, const struct plan_step *s)
{
	(void)c;
	sys(__NR_umask, s->n[UMASK_N_MASK]);
}

void do_no_new_privileges(struct stage *c, const struct plan_step *s)
{
	(void)s;
	must(c, sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
}

/* Decides whether the process becomes the owner of a descriptor of its stdio. The owner of a
 * file may change its mode, and so may open it for writing. Therefore a file that is only open
 * for reading keeps its owner. A device keeps its owner too, because the whole host uses it,
 * unless it is the terminal of the process. /dev/tty, /dev/console and /dev/ptmx (major 5) are
 * not such a terminal. */
static int is_to_own(int f, const struct statx *st)
{
	char termios[64];
	struct statfs fs;
	uint32_t type = st->stx_mode & S_IFMT;

	if (type == S_IFBLK || (type == S_IFCHR && (st->stx_rdev_major == 5 || sys(__NR_ioctl, f, TCGETS, termios) < 0)))
		return 0;
	if ((sys(__NR_fcntl, f, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return 1;
	/* A pipe without a name belongs to nobody else, and programs often open it again, as
	 * /dev/stdin. */
	return type == S_IFIFO && sys(__NR_fstatfs, f, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

/* Where users of the host that have no user ID here are shown (kernel.overflowuid). */
#define OVERFLOW_ID 65534

static int is_null(const struct statx *st)
{
	return (st->stx_mode & S_IFMT) == S_IFCHR && st->stx_rdev_major == 1 && st->stx_rdev_minor == 3;
}

/* Opens /dev/null of the container. Returns -errno, also if that is not the null device. */
static int open_null(struct stage *c, int flags)
{
	struct statx st;
	int null = lookup(c, "dev/null", flags, 0);

	if (null < 0)
		return null;
	must(c, sys(__NR_statx, null, "", AT_EMPTY_PATH, STATX_TYPE, &st), "statx", "/dev/null");
	if (is_null(&st))
		return null;
	sys(__NR_close, null);
	return -ENODEV;
}

/* Makes and opens a null device in a filesystem of its own, for a container that has none. Returns
 * -errno in a user namespace, where nobody can make devices. */
static int new_null(struct stage *c)
{
	int fs = (int)must(c, sys(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC), "fsopen", "tmpfs");

	must(c, sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0), "fsconfig", "tmpfs");
	int tree = (int)must(c, sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), "fsmount", "tmpfs");
	sys(__NR_close, fs);
	long r = sys(__NR_mknodat, tree, "null", S_IFCHR | 0666, device_number(1, 3));
	if (r == 0) {
		must(c, sys(__NR_fchmodat, tree, "null", 0666), "fchmodat", "null"); /* whatever the umask is */
		r = sys(__NR_openat, tree, "null", O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	sys(__NR_close, tree);
	return (int)r;
}

/* Opens a null device as descriptor i, in place of the host's, whose mode fchmod(2) would change
 * for everybody: the container's, as runc and crun do at create, because only that can be
 * checkpointed. open_null looks at it before it opens it, because opening a device can be enough
 * to start it. If somebody exchanges it in between, this opens what the container itself could
 * open, since the device rules already apply. Containers may have no null device, and may remove
 * it before an exec: then a new one is made. What cannot be replaced is refused, unless the
 * host's root, who owns the host's, has no user ID in the container. */
static void own_null(struct stage *c, int i, const struct statx *host)
{
	if (c->root < 0)
		c->root = (int)must(c, sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), "openat", "/");
	int null = open_null(c, O_PATH);
	if (null >= 0) {
		sys(__NR_close, null);
		null = open_null(c, O_RDWR | O_NOCTTY | O_NONBLOCK);
	}
	if (null < 0) {
		int missing = null;
		if (host->stx_uid == OVERFLOW_ID)
			return;
		null = new_null(c);
		if (null < 0)
			fail(c, "openat", missing, "/dev/null");
	}
	must(c, sys(__NR_fcntl, null, F_SETFL, 0), "fcntl", "/dev/null");
	must(c, sys(__NR_dup3, null, i, 0), "dup3", "/dev/null");
	sys(__NR_close, null);
}

/* Makes the process the owner of its stdio, because people expect that it can open /dev/stdout
 * again. If the filesystem cannot change owners, they stay. */
void do_stdio_owner(struct stage *c, const struct plan_step *s)
{
	struct statx st;

	for (int i = 0; i < 3; i++) {
		if (sys(__NR_statx, i, "", AT_EMPTY_PATH, STATX_TYPE | STATX_UID, &st) < 0)
			continue;
		if (is_null(&st))
			own_null(c, i, &st);
		else if (!s->n[STDIO_OWNER_N_KEEP] && st.stx_uid != s->n[STDIO_OWNER_N_UID] && is_to_own(i, &st))
			sys(__NR_fchown, i, s->n[STDIO_OWNER_N_UID], -1L);
	}
}

void do_bounding(struct stage *c, const struct plan_step *s)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (s->n[BOUNDING_N_KEEP] >> cap & 1)
			continue;
		long r = sys(__NR_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
		if (r == -EINVAL) /* this is beyond the last capability of the kernel */
			return;
		must(c, r, "prctl", "PR_CAPBSET_DROP");
	}
}

/* Closes everything of the host that no later step needs. An image names its program and that
 * program's interpreter; while execve(2) looks for them, a name in /proc/self/fd would lead to
 * these descriptors (CVE-2024-21626). */
static void let_go(struct stage *c, const struct plan_step *s)
{
	for (uint32_t i = 1; i <= c->h->nfds; i++) {
		int wanted = 0;
		for (const struct plan_step *later = s + 1; later < c->steps + c->h->nsteps; later++)
			for (int slot = 0; slot < PLAN_FDS; slot++)
				wanted |= later->fd[slot] == i;
		if (!wanted)
			sys(__NR_close, c->base + (int)i - 1);
	}
	if (c->masked >= 0)
		sys(__NR_close, c->masked);
}

void do_user(struct stage *c, const struct plan_step *s)
{
	uint32_t gid = (uint32_t)s->n[USER_N_GID], uid = (uint32_t)s->n[USER_N_UID];

	let_go(c, s);

	must(c, sys(__NR_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl", "PR_SET_KEEPCAPS");
	if (!s->n[USER_N_KEEPGROUPS])
		must(c, sys(__NR_setgroups, size(s, USER_S_GROUPS) / 4, str(c, s, USER_S_GROUPS)), "setgroups", "");
	must(c, sys(__NR_setresgid, gid, gid, gid), "setresgid", "");
	must(c, sys(__NR_setresuid, uid, uid, uid), "setresuid", "");
	/* A change of user sets it to fs.suid_dumpable, which may be 1. */
	must(c, sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");
}

void do_capabilities(struct stage *c, const struct plan_step *s)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct set[2];

	for (int i = 0; i < 2; i++) {
		set[i].effective = (uint32_t)(s->n[CAPABILITIES_N_EFFECTIVE] >> 32 * i);
		set[i].permitted = (uint32_t)(s->n[CAPABILITIES_N_PERMITTED] >> 32 * i);
		set[i].inheritable = (uint32_t)(s->n[CAPABILITIES_N_INHERITABLE] >> 32 * i);
	}
	must(c, sys(__NR_capset, &head, set), "capset", "");
	for (unsigned cap = 0; cap < 64; cap++)
		if (s->n[CAPABILITIES_N_AMBIENT] >> cap & 1)
			must(c, sys(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), "prctl", "PR_CAP_AMBIENT_RAISE");
}

/* Makes a read-only root writable, or read-only again, while the stage makes a directory in it.
 * Only the stage is there. */
static void root_read_only(struct stage *c, uint64_t set, uint64_t clear)
{
	struct mount_attr a = {.attr_set = set, .attr_clr = clear};

	must(c, sys(__NR_mount_setattr, c->root, "", AT_EMPTY_PATH, &a, sizeof(a)), "mount_setattr", "/");
}

/* Enters the working directory before the user changes, with davit's capabilities: the
 * container's user may lack the permission to pass a directory on the way. */
void do_chdir(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, CHDIR_S_PATH);
	uint32_t owner[2] = {(uint32_t)s->n[CHDIR_N_UID], (uint32_t)s->n[CHDIR_N_GID]};
	char cwd[4096];
	long r = sys(__NR_chdir, path);

	if (r == -ENOENT && s->n[CHDIR_N_CREATE]) {
		if (s->n[CHDIR_N_READONLY])
			root_read_only(c, 0, MOUNT_ATTR_RDONLY);
		sys(__NR_close, make_directories(c, path, owner));
		if (s->n[CHDIR_N_READONLY])
			root_read_only(c, MOUNT_ATTR_RDONLY, 0);
		r = sys(__NR_chdir, path);
	}
	must(c, r, "chdir", path);
	r = must(c, sys(__NR_getcwd, cwd, sizeof(cwd)), "getcwd", path);
	if (cwd[0] != '/') /* "(unreachable)": a directory of the host, CVE-2024-21626 */
		fail(c, "chdir", -EPERM, "outside of the container");
}

/* The pseudoterminal belongs to the container's own devpts, and only descriptors lead to its
 * other end (CVE-2025-52565). */
void do_console(struct stage *c, const struct plan_step *s)
{
	struct winsize ws = {.ws_row = (uint16_t)s->n[CONSOLE_N_ROWS], .ws_col = (uint16_t)s->n[CONSOLE_N_COLS]};
	/* In a devpts only the kernel makes names. Anywhere else this could be a device of the
	 * image, and opening a device can be enough to start it. */
	struct open_how ptmx = {
		.flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	struct statfs fs;
	int unlock = 0, at, tree;

	if (c->root < 0)
		c->root = (int)must(c, sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), "openat", "/");
	int pts = (int)must(c, lookup(c, "dev/pts", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS), "openat2", "/dev/pts");
	must(c, sys(__NR_fstatfs, pts, &fs), "fstatfs", "/dev/pts");
	if (fs.f_type != DEVPTS_SUPER_MAGIC)
		fail(c, "openat2", -ENODEV, "/dev/pts is not a devpts");
	int master = (int)must(c, sys(__NR_openat2, pts, "ptmx", &ptmx, sizeof(ptmx)), "openat2", "/dev/pts/ptmx");
	sys(__NR_close, pts);
	must(c, sys(__NR_ioctl, master, TIOCSPTLCK, &unlock), "ioctl", "TIOCSPTLCK");
	int slave = (int)must(c, sys(__NR_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "ioctl", "TIOCGPTPEER");
	if (s->n[CONSOLE_N_UID])
		must(c, sys(__NR_fchown, slave, s->n[CONSOLE_N_UID], -1L), "fchown", "the terminal");
	if (ws.ws_row || ws.ws_col)
		must(c, sys(__NR_ioctl, master, TIOCSWINSZ, &ws), "ioctl", "TIOCSWINSZ");
	if (s->n[CONSOLE_N_MOUNT]) {
		at = target(c, "dev/console", 0, RESOLVE_NO_SYMLINKS);
		tree = (int)must(c, sys(__NR_open_tree, slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), "open_tree", "the terminal");
		attach(c, tree, at, "/dev/console");
		sys(__NR_close, tree);
		sys(__NR_close, at);
	}
	must(c, send_fd(fd(c, s, CONSOLE_FD_SOCKET), master, "/dev/ptmx", 9), "sendmsg", "the console socket");
	sys(__NR_close, master);
	for (int i = 0; i < 3; i++)
		must(c, sys(__NR_dup3, slave, i, 0), "dup3", "the terminal");
	must(c, sys(__NR_ioctl, 0, TIOCSCTTY, 0), "ioctl", "TIOCSCTTY");
}
