/*
 * The floor: the system calls that one config needs, and nothing else. It has no JSON, no state,
 * and none of the checks that a real runtime must make. What it does is compiled in: the benchmark
 * writes floor.h from the config that the contestants get.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum op { MOUNT, BIND, MKDIR, MKFILE, MASK, READ_ONLY };
struct step {
	enum op op;
	const char *source, *target, *type, *data;
	unsigned long flags;
};

#include "floor.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void check(long result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void put(int dir, const char *path, const char *value)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);

	check(fd, path);
	check(write(fd, value, strlen(value)), path);
	close(fd);
}

static void do_step(const struct step *s)
{
	switch (s->op) {
	case MOUNT:
		check(mount(s->source, s->target, s->type, s->flags, s->data), s->target);
		break;
	case BIND:
		check(mount(s->source, s->target, NULL, MS_BIND | MS_REC, NULL), s->target);
		check(mount(NULL, s->target, NULL, MS_PRIVATE | MS_REC, NULL), s->target);
		if (s->flags)
			check(mount(NULL, s->target, NULL, MS_REMOUNT | MS_BIND | s->flags, NULL), s->target);
		break;
	case MKDIR:
		check(mkdir(s->target, 0755), s->target);
		break;
	case MKFILE:
		check(mknod(s->target, S_IFREG | 0644, 0), s->target);
		break;
	case MASK:
		if (mount("/dev/null", s->target, NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
			break;
		check(mount("tmpfs", s->target, "tmpfs", MS_RDONLY, NULL), s->target);
		break;
	case READ_ONLY:
		if (mount(s->target, s->target, NULL, MS_BIND | MS_REC, NULL) != 0 && errno == ENOENT)
			break;
		check(mount(NULL, s->target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), s->target);
		break;
	}
}

static void make_devices(void)
{
	static const struct { const char *path; unsigned major, minor; } devices[] = {
		{"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7},
		{"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
	};
	static const struct { const char *target, *path; } links[] = {
		{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
		{"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
	};
	unsigned i;

	for (i = 0; i < LENGTH(devices); i++)
		check(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)), devices[i].path);
	for (i = 0; i < LENGTH(links); i++)
		check(symlink(links[i].target, links[i].path), links[i].path);
}

static void make_root(void)
{
	unsigned i;

	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "/");
	check(mount(ROOT, ROOT, NULL, MS_BIND | MS_REC, NULL), ROOT);
	check(chdir(ROOT), ROOT);
	for (i = 0; i < LENGTH(mounts); i++)
		do_step(&mounts[i]);
	if (DEVICES)
		make_devices();
	check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	check(umount2(".", MNT_DETACH), "umount of the old root");
	check(chdir("/"), "/");
	for (i = 0; i < LENGTH(paths); i++)
		do_step(&paths[i]);
	if (READ_ONLY_ROOT)
		check(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "/");
}

static void loopback_up(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	check(fd, "socket");
	check(ioctl(fd, SIOCSIFFLAGS, &lo), "lo");
	close(fd);
}

static void load_filter(void)
{
	struct sock_fprog program = { LENGTH(filter), (struct sock_filter *)filter };

	check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "seccomp");
}

static void drop_privileges(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (unsigned)CAPS, (unsigned)CAPS, 0 }, { (unsigned)(CAPS >> 32), (unsigned)(CAPS >> 32), 0 },
	};
	struct rlimit nofile = { NOFILE, NOFILE };
	int cap;

	if (NOFILE)
		check(setrlimit(RLIMIT_NOFILE, &nofile), "setrlimit");
	for (cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(CAPS >> cap & 1))
			check(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "prctl PR_CAPBSET_DROP");
	if (LENGTH(filter) && !NO_NEW_PRIVS)
		load_filter(); /* while CAP_SYS_ADMIN lasts */
	check(setgroups(LENGTH(groups) - 1, groups), "setgroups");
	check(setresgid(0, 0, 0), "setresgid");
	check(setresuid(0, 0, 0), "setresuid");
	check(capset(&header, data), "capset");
	if (NO_NEW_PRIVS)
		check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl PR_SET_NO_NEW_PRIVS");
	if (LENGTH(filter) && NO_NEW_PRIVS)
		load_filter();
}

static void container(const int *procs)
{
	static char *const argv[] = { (char *)"/bin/true", NULL };
	unsigned i;

	for (i = 0; i + 1 < LENGTH(cgroups); i++)
		if (procs[i] >= 0)
			check(write(procs[i], "0", 1), cgroups[i]);
	setsid();
	if (OOM_SCORE)
		put(AT_FDCWD, "/proc/self/oom_score_adj", OOM_SCORE);
	if (FLAGS & CLONE_NEWNET)
		loopback_up();
	if (HOSTNAME)
		check(sethostname(HOSTNAME, strlen(HOSTNAME)), "sethostname");
	umask(0);
	make_root();
	umask(022);
	drop_privileges();
	execve(argv[0], argv, environ);
	check(-1, argv[0]);
}

/* The device rules of cgroup v2 are a program: the shortest one that can be loaded. */
static void attach_device_program(int cgroup)
{
	static const struct bpf_insn insns[] = {
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1 }, { BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = LENGTH(insns) };
	union bpf_attr attach = { .target_fd = (unsigned)cgroup, .attach_type = BPF_CGROUP_DEVICE };
	int fd;

	load.insns = (unsigned long)insns;
	load.license = (unsigned long)"Apache";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
	check(fd, "BPF_PROG_LOAD");
	attach.attach_bpf_fd = (unsigned)fd;
	check(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach), "BPF_PROG_ATTACH");
	close(fd);
}

/* Makes the cgroups; returns that of cgroup2 if the child is to start in it. */
static int make_cgroups(int *procs)
{
	int unified = -1;
	unsigned i;

	for (i = 0; i + 1 < LENGTH(cgroups); i++) {
		int dir;

		check(mkdir(cgroups[i], 0755), cgroups[i]);
		dir = open(cgroups[i], O_DIRECTORY | O_CLOEXEC);
		check(dir, cgroups[i]);
		procs[i] = -1;
		if (UNIFIED) {
			unified = dir;
			continue;
		}
		procs[i] = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		check(procs[i], "cgroup.procs");
		close(dir);
	}
	for (i = 0; i + 1 < LENGTH(limits); i++)
		put(AT_FDCWD, limits[i][0], limits[i][1]);
	if (unified >= 0 && DEVICE_PROGRAM)
		attach_device_program(unified);
	return unified;
}

int main(void)
{
	int procs[LENGTH(cgroups)], unified, status, pidfd, pid;
	struct clone_args args = { .flags = FLAGS | CLONE_PIDFD, .exit_signal = SIGCHLD };
	unsigned i;

	unified = make_cgroups(procs);
	for (i = 0; i + 1 < LENGTH(joins); i++) {
		int fd = open(joins[i], O_RDONLY | O_CLOEXEC);

		check(fd, joins[i]);
		check(setns(fd, 0), joins[i]);
		close(fd);
	}
	args.pidfd = (unsigned long)&pidfd;
	if (unified >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned long)unified;
	}
	pid = (int)syscall(SYS_clone3, &args, sizeof args);
	check(pid, "clone3");
	if (pid == 0)
		container(procs);
	check(waitpid(pid, &status, 0), "waitpid");
	for (i = LENGTH(cgroups) - 1; i > 0; i--)
		check(rmdir(cgroups[i - 1]), cgroups[i - 1]);
	return status != 0;
}
