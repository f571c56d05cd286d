/* Mounts, and everything else that the root filesystem needs. */
#include "stage.h"

#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <linux/stat.h>

#ifndef OPEN_TREE_NAMESPACE /* Linux 7.0 */
#define OPEN_TREE_NAMESPACE (1 << 1)
#endif

static void set_attributes(struct stage *c, int tree, int flags, const struct mount_attr *a, const char *path)
{
	if (a->attr_set || a->attr_clr || a->propagation)
		must(c, sys(__NR_mount_setattr, tree, "", AT_EMPTY_PATH | flags, a, sizeof(*a)), "mount_setattr", path);
}

/* mount_setattr(2) has its own flag for MS_REC of mount(2). */
static void set_propagation(struct stage *c, int tree, uint64_t flags, const char *path)
{
	struct mount_attr a = {.propagation = flags & ~(uint64_t)MS_REC};

	set_attributes(c, tree, flags & MS_REC ? AT_RECURSIVE : 0, &a, path);
}

void do_propagation(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_mount, 0, "/", 0, s->n[PROPAGATION_N_FLAGS], 0), "mount", "/");
	/* do_pivot needs it. It is opened now, while /proc cannot be the container's. */
	c->mounts = (int)must(c, sys(__NR_openat, AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), "openat", "/proc/self/ns/mnt");
}

static int open_tree(struct stage *c, const char *path, unsigned int flags)
{
	return (int)must(c, sys(__NR_open_tree, AT_FDCWD, path, OPEN_TREE_CLOEXEC | flags), "open_tree", path);
}

static int copy_source(struct stage *c, const char *path, unsigned int flags) { return open_tree(c, path, OPEN_TREE_CLONE | flags); }

static int copy_mount(struct stage *c, int of, int flags, const char *path)
{
	return (int)must(c, sys(__NR_open_tree, of, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags), "open_tree", path);
}

/* Gives a tree the number by which the plan knows it. */
static void put_in_place(struct stage *c, int tree, int place, const char *path)
{
	if (tree == place) /* the tree usually gets this number, as the lowest free one */
		return;
	must(c, sys(__NR_dup3, tree, place, O_CLOEXEC), "dup3", path);
	sys(__NR_close, tree);
}

/* Copies a source on the host, before anything is mounted for the container. */
void do_source(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, SOURCE_S_PATH);
	struct mount_attr top = {.attr_set = s->n[SOURCE_N_SET]}, all = {.propagation = s->n[SOURCE_N_PROPAGATION]};
	unsigned int flags = (s->n[SOURCE_N_RECURSIVE] ? AT_RECURSIVE : 0) | (s->n[SOURCE_N_LINK] ? AT_SYMLINK_NOFOLLOW : 0);
	int place = fd(c, s, SOURCE_FD_TREE);

	sys(__NR_close, place); /* the parent's placeholder, which has kept the number free */
	int tree = copy_source(c, path, flags);
	set_attributes(c, tree, s->n[SOURCE_N_RECURSIVE] ? AT_RECURSIVE : 0, &all, path);
	set_attributes(c, tree, 0, &top, path);
	put_in_place(c, tree, place, path);
}

static int same_file(struct stage *c, int one, int other)
{
	struct statx a, b;

	must(c, sys(__NR_statx, one, "", AT_EMPTY_PATH, STATX_INO, &a), "statx", "");
	must(c, sys(__NR_statx, other, "", AT_EMPTY_PATH, STATX_INO, &b), "statx", "");
	return a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
}

/* Once the stage has left the host's namespace for another one, it cannot enter namespaces that
 * are made later. So all are made first. */
void do_gather(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, GATHER_S_PATH);
	int from = fd(c, s, GATHER_FD_FROM), place = fd(c, s, GATHER_FD_TREE);
	unsigned int flags = OPEN_TREE_NAMESPACE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;

	sys(__NR_close, place); /* the placeholder, as in do_source */
	if (from >= 0)
		from = (int)must(c, sys(__NR_open_tree, from, "", flags | AT_EMPTY_PATH), "open_tree", path);
	else
		from = open_tree(c, path, OPEN_TREE_NAMESPACE | AT_RECURSIVE);
	put_in_place(c, from, place, path);
}

void do_copy(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, COPY_S_PATH), *source = str(c, s, COPY_S_SOURCE);
	struct mount_attr top = {.attr_set = s->n[COPY_N_SET]};
	int same = fd(c, s, COPY_FD_SAME), place = fd(c, s, COPY_FD_TREE);

	must(c, sys(__NR_setns, fd(c, s, COPY_FD_FROM), CLONE_NEWNS), "setns", source);
	sys(__NR_close, place); /* the placeholder, as in do_source */
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (s->n[COPY_N_RECURSIVE] ? AT_RECURSIVE : 0);
	int tree = (int)must(c, sys(__NR_open_tree, AT_FDCWD, path, flags), "open_tree", source);
	if (same >= 0 && !same_file(c, tree, same))
		fail(c, "open_tree", -ESTALE, source);
	set_attributes(c, tree, 0, &top, source);
	put_in_place(c, tree, place, source);
}

/* Attaches the tree over the directory that it was copied from, because hooks look for the root
 * filesystem at its path on the host. */
void do_root(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, ROOT_S_PATH);
	struct mount_attr a = {.propagation = s->n[ROOT_N_PROPAGATION]};
	int tree = fd(c, s, ROOT_FD_TREE);

	if (tree < 0)
		tree = copy_source(c, path, AT_RECURSIVE);
	must(c, sys(__NR_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS), "move_mount", path);
	/* This must come after attaching, which makes a mount shared if its parent is. */
	set_attributes(c, tree, AT_RECURSIVE, &a, path);
	c->root = tree;
}

/* At first the mounts of the new namespace are peers of the host's: a mount below them would
 * appear on the host. So their propagation is changed at once. */
void do_enter(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, ENTER_S_PATH);
	struct mount_attr a = {.propagation = s->n[ENTER_N_PROPAGATION]};
	int namespace = fd(c, s, ENTER_FD_TREE);

	if (namespace < 0)
		namespace = open_tree(c, path, OPEN_TREE_NAMESPACE | AT_RECURSIVE);
	if (s->n[ENTER_N_BACK]) {
		c->mounts = (int)must(c, sys(__NR_openat, AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), "openat", "/proc/self/ns/mnt");
		c->host = (int)must(c, sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), "openat", "/");
	}
	must(c, sys(__NR_setns, namespace, CLONE_NEWNS), "setns", path);
	c->root = (int)must(c, sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), "openat", "/");
	set_attributes(c, c->root, AT_RECURSIVE, &a, "/");
	if (s->n[ENTER_N_BACK])
		c->entered = namespace;
	else
		sys(__NR_close, namespace);
	for (const struct plan_step *made = c->steps; made < s; made++)
		if (made->op == OP_GATHER) /* do_gather's trees are all closed; ENTER_FD_TREE is one of them */
			sys(__NR_close, fd(c, made, GATHER_FD_TREE));
}

static void change_root(struct stage *c, int to)
{
	must(c, sys(__NR_fchdir, to), "fchdir", "/");
	must(c, sys(__NR_chroot, "."), "chroot", ".");
}

/* Goes back to the host's root, so that the kernel can look up a name of the host. */
static void lift(struct stage *c)
{
	if (c->host >= 0)
		change_root(c, c->host);
}

static void confine(struct stage *c)
{
	if (c->host >= 0)
		change_root(c, c->root);
}

static void lift_for_good(struct stage *c)
{
	lift(c);
	if (c->host >= 0)
		sys(__NR_close, c->host);
	c->host = -1;
}

void do_confine(struct stage *c, const struct plan_step *s)
{
	if (s->n[CONFINE_N_LIFT]) {
		lift_for_good(c);
		return;
	}
	c->host = (int)must(c, sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), "openat", "/");
	must(c, sys(__NR_fchdir, c->root), "fchdir", "/");
	long r = sys(__NR_chroot, ".");
	if (r == -EPERM) { /* without CAP_SYS_CHROOT only openat2(2) keeps names below the root */
		sys(__NR_close, c->host);
		c->host = -1;
		return;
	}
	must(c, r, "chroot", ".");
}

/* Returns the options of a tmpfs that gets the mode of the directory below it. The mode comes
 * first, so that an option of the config can override it. */
static const char *with_mode(struct stage *c, int at, const char *data, const char *path, char (*buf)[4096])
{
	uint32_t mode = mode_of(c, at, 0);
	size_t n = len_of(data) + 1;
	char *p = *buf;

	if (n + sizeof("mode=0000") > sizeof(*buf)) /* mount(2) takes at most a page */
		fail(c, "mount", -EINVAL, path);
	memcpy(p, "mode=", 5);
	p += 5;
	for (int shift = 9; shift >= 0; shift -= 3)
		*p++ = (char)('0' + (mode >> shift & 7));
	if (*data)
		*p++ = ',';
	memcpy(p, data, n);
	return *buf;
}

/* Sets "name" or "name=value". It leaves the plan unchanged, since a string may share its bytes
 * with a list of pointers. */
static void set_option(struct stage *c, int fs, const char *option)
{
	char name[64];
	size_t n = 0;

	for (; option[n] && option[n] != '='; n++) {
		if (n + 1 == sizeof(name))
			fail(c, "fsconfig", -EINVAL, option);
		name[n] = option[n];
	}
	name[n] = 0;
	if (option[n])
		must(c, sys(__NR_fsconfig, fs, FSCONFIG_SET_STRING, name, option + n + 1, 0), "fsconfig", option);
	else
		must(c, sys(__NR_fsconfig, fs, FSCONFIG_SET_FLAG, name, 0, 0), "fsconfig", option);
}

void do_options(struct stage *c, const struct plan_step *s)
{
	const char *type = str(c, s, OPTIONS_S_TYPE);
	int fs = (int)must(c, sys(__NR_fsopen, type, FSOPEN_CLOEXEC), "fsopen", type);

	for (char **o = strings(c, s, OPTIONS_L_OPTIONS); *o; o++)
		set_option(c, fs, *o);
	sys(__NR_close, fs);
}

/* mount(2) does not tell which option it refuses. This fails with the name of that option, if it
 * finds it. It cannot do that for filesystems without fsopen(2), nor with quotes or commas in an
 * option. */
static void name_option(struct stage *c, const char *type, const char *data)
{
	char option[4096];
	size_t n = 0;
	int fs = (int)sys(__NR_fsopen, type, FSOPEN_CLOEXEC);

	if (fs < 0)
		return;
	for (; *data && n + 1 < sizeof(option); data++) {
		if (*data == '"' || (*data == ',' && data[1] >= '0' && data[1] <= '9'))
			return;
		if (*data != ',')
			option[n++] = *data;
		option[n] = 0;
		if (n && (*data == ',' || !data[1])) {
			set_option(c, fs, option);
			n = 0;
		}
	}
	sys(__NR_close, fs);
}

void do_filesystem(struct stage *c, const struct plan_step *s)
{
	const char *type = str(c, s, FILESYSTEM_S_TYPE), *path = str(c, s, FILESYSTEM_S_TARGET);
	int place = fd(c, s, FILESYSTEM_FD_TREE), within = fd(c, s, FILESYSTEM_FD_WITHIN);

	if (within >= 0)
		must(c, sys(__NR_setns, within, CLONE_NEWNS), "setns", path);
	int fs = (int)must(c, sys(__NR_fsopen, type, FSOPEN_CLOEXEC), "fsopen", path);

	for (char **o = strings(c, s, FILESYSTEM_L_OPTIONS); *o; o++)
		set_option(c, fs, *o);
	must(c, sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0), "fsconfig", path);
	sys(__NR_close, place); /* the placeholder, as in do_source */
	int tree = (int)must(c, sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, s->n[FILESYSTEM_N_SET]), "fsmount", path);
	sys(__NR_close, fs);
	put_in_place(c, tree, place, path);
}

/* Attaches a filesystem that do_filesystem has made. */
static void mount_made(struct stage *c, const struct plan_step *s, int tree)
{
	const char *path = str(c, s, MOUNT_S_TARGET);
	uint64_t resolve = s->n[MOUNT_N_NOFOLLOW] ? RESOLVE_NO_SYMLINKS : 0;
	int at = lookup(c, path, O_PATH, resolve);

	if (at >= 0 && s->n[MOUNT_N_KEEPMODE])
		must(c, sys(__NR_fchmodat, tree, ".", mode_of(c, at, 0) & 07777), "fchmodat", path);
	else if (at == -ENOENT)
		at = target(c, path, 1, resolve);
	must(c, at, "openat2", path);
	attach(c, tree, at, path);
	/* This must come after attaching, which makes a mount shared if its parent is. */
	set_propagation(c, tree, s->n[MOUNT_N_PROPAGATION], path);
	sys(__NR_close, at);
}

/* Mounts the filesystem on the working directory, which is a descriptor, so that no path is
 * resolved twice. */
static void mount_here(struct stage *c, const struct plan_step *s, int at, const char *data)
{
	const char *path = str(c, s, MOUNT_S_TARGET);

	if (s->n[MOUNT_N_HOST])
		lift(c);
	must(c, sys(__NR_fchdir, at), "fchdir", path);
	long r = sys(__NR_mount, str(c, s, MOUNT_S_SOURCE), ".", str(c, s, MOUNT_S_TYPE), s->n[MOUNT_N_FLAGS], *data ? data : 0);
	if (r == -EINVAL)
		name_option(c, str(c, s, MOUNT_S_TYPE), data);
	must(c, r, "mount", path);
	if (s->n[MOUNT_N_HOST])
		confine(c);
}

/* mount(2) returns no descriptor of the new mount, and the target's name may lead elsewhere when
 * it is looked up again. So this mounts in a directory that nobody else can reach, and attaches
 * a copy of that mount. */
static int mount_apart(struct stage *c, const struct plan_step *s, int at, const char *data)
{
	const char *path = str(c, s, MOUNT_S_TARGET);
	int fs = (int)must(c, sys(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC), "fsopen", "tmpfs");

	must(c, sys(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "700", 0), "fsconfig", "tmpfs");
	must(c, sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0), "fsconfig", "tmpfs");
	int apart = (int)must(c, sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, 0), "fsmount", path);
	sys(__NR_close, fs);
	must(c, sys(__NR_mkdirat, apart, "m", 0700), "mkdirat", path);
	attach(c, apart, at, path);
	set_propagation(c, apart, MS_PRIVATE, path);
	int in = (int)must(c, open_in(apart, "m"), "openat2", path);
	mount_here(c, s, in, data);
	sys(__NR_close, in);
	int tree = (int)must(c, sys(__NR_open_tree, apart, "m", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "open_tree", path);
	must(c, sys(__NR_fchdir, apart), "fchdir", path);
	must(c, sys(__NR_umount2, ".", UMOUNT_DETACH), "umount2", path);
	sys(__NR_close, apart);
	attach(c, tree, at, path);
	return tree;
}

void do_mount(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, MOUNT_S_TARGET), *data = str(c, s, MOUNT_S_DATA);
	uint64_t resolve = s->n[MOUNT_N_NOFOLLOW] ? RESOLVE_NO_SYMLINKS : 0;
	char buf[4096];
	int tree = fd(c, s, MOUNT_FD_TREE), keep = fd(c, s, MOUNT_FD_KEEP), at;

	if (tree >= 0) {
		mount_made(c, s, tree);
		return;
	}
	at = lookup(c, path, O_PATH, resolve);
	if (at >= 0 && s->n[MOUNT_N_KEEPMODE])
		data = with_mode(c, at, data, path, &buf);
	else if (at == -ENOENT)
		at = target(c, path, 1, resolve);
	must(c, at, "openat2", path);
	if (keep < 0) {
		mount_here(c, s, at, data);
	} else {
		tree = mount_apart(c, s, at, data);
		set_propagation(c, tree, s->n[MOUNT_N_PROPAGATION], path);
		put_in_place(c, tree, keep, path);
	}
	sys(__NR_close, at);
}

/* The new filesystem is filled before it is attached. */
void do_copy_up(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, COPY_UP_S_TARGET);
	int at = target(c, path, 1, 0);
	int fs = (int)must(c, sys(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC), "fsopen", "tmpfs");

	for (char **o = strings(c, s, COPY_UP_L_OPTIONS); *o; o++)
		set_option(c, fs, *o);
	must(c, sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0), "fsconfig", "tmpfs");
	int tree = (int)must(c, sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, s->n[COPY_UP_N_SET]), "fsmount", path);
	sys(__NR_close, fs);
	copy_up(c, s, at, tree);
	attach(c, tree, at, path);
	set_propagation(c, tree, s->n[COPY_UP_N_PROPAGATION], path);
	if (fd(c, s, COPY_UP_FD_KEEP) >= 0)
		put_in_place(c, tree, fd(c, s, COPY_UP_FD_KEEP), path);
	else
		sys(__NR_close, tree);
	sys(__NR_close, at);
}

static void set_bind_attributes(struct stage *c, const struct plan_step *s, int tree, int rec)
{
	const char *path = str(c, s, BIND_S_TARGET);
	struct mount_attr all = {
		.attr_set = s->n[BIND_N_RECSET], .attr_clr = s->n[BIND_N_RECCLEAR], .propagation = s->n[BIND_N_PROPAGATION],
	};
	struct mount_attr top = {.attr_set = s->n[BIND_N_SET], .attr_clr = s->n[BIND_N_CLEAR] | s->n[BIND_N_DROP]};

	set_attributes(c, tree, rec, &all, path);
	if (s->n[BIND_N_DROP]) {
		long r = sys(__NR_mount_setattr, tree, "", AT_EMPTY_PATH, &top, sizeof(top));
		if (r != -EPERM) { /* on EPERM a flag to drop is locked; those that no option names then stay */
			must(c, r, "mount_setattr", path);
			return;
		}
		top.attr_clr = s->n[BIND_N_CLEAR];
	}
	set_attributes(c, tree, 0, &top, path);
}

/* Copies a directory of the host without its files of mount namespaces: the kernel leaves such
 * files out when it makes a namespace. This happens in the host's mount namespace, where no name
 * of the container is looked up. */
static int copy_again(struct stage *c, const char *path)
{
	struct mount_attr a = {.propagation = MS_SLAVE};

	must(c, sys(__NR_setns, c->mounts, CLONE_NEWNS), "setns", "/proc/self/ns/mnt");
	change_root(c, c->host); /* davit's own root, which is not the namespace's if davit runs in a chroot */
	int namespace = open_tree(c, path, OPEN_TREE_NAMESPACE | AT_RECURSIVE);
	must(c, sys(__NR_setns, namespace, CLONE_NEWNS), "setns", path);
	int tree = copy_source(c, "/", AT_RECURSIVE);
	set_attributes(c, tree, AT_RECURSIVE, &a, path);
	must(c, sys(__NR_setns, c->entered, CLONE_NEWNS), "setns", "/");
	sys(__NR_close, namespace);
	return tree;
}

/* Copies a source of the host that has no usable descriptor. If the stage has entered a
 * namespace for the container, it goes back to the host's for this: no path there leads to the
 * container's mounts. */
static int copy_late(struct stage *c, const char *path, uint64_t how)
{
	unsigned int rec = how & PLAN_BIND_RECURSIVE ? AT_RECURSIVE : 0, flags = rec | (how & PLAN_BIND_SOURCE_LINK ? AT_SYMLINK_NOFOLLOW : 0);
	struct mount_attr a = {.propagation = MS_SLAVE};

	if (c->entered < 0) {
		lift(c);
		int tree = copy_source(c, path, flags);
		confine(c);
		return tree;
	}
	must(c, sys(__NR_setns, c->mounts, CLONE_NEWNS), "setns", "/proc/self/ns/mnt");
	change_root(c, c->host);
	int tree = copy_source(c, path, flags);
	set_attributes(c, tree, rec, &a, path);
	must(c, sys(__NR_setns, c->entered, CLONE_NEWNS), "setns", "/");
	return tree;
}

/* Closes what leads back to the host, once no later step needs it. */
static void forget_host(struct stage *c, const struct plan_step *s)
{
	while (++s < c->steps + c->h->nsteps)
		if (s->op == OP_BIND && s->n[BIND_N_HOW] & PLAN_BIND_AGAIN)
			return;
	sys(__NR_close, c->mounts);
	sys(__NR_close, c->host);
	sys(__NR_close, c->entered);
	c->mounts = c->host = c->entered = -1;
}

/* Copies a source that lies in the container's root. It is resolved below that root: on the host
 * the image's links could lead anywhere. */
static int copy_inside(struct stage *c, const char *path, uint64_t how)
{
	int at = lookup(c, path, O_PATH | (how & PLAN_BIND_SOURCE_LINK ? O_NOFOLLOW : 0), 0);

	must(c, at, "openat2", path);
	int tree = copy_mount(c, at, how & PLAN_BIND_RECURSIVE ? AT_RECURSIVE : 0, path);
	sys(__NR_close, at);
	return tree;
}

void do_bind(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, BIND_S_TARGET), *source = str(c, s, BIND_S_SOURCE);
	uint64_t how = s->n[BIND_N_HOW], resolve = how & PLAN_BIND_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0;
	int given = fd(c, s, BIND_FD_TREE), rec = how & PLAN_BIND_RECURSIVE ? AT_RECURSIVE : 0;
	int tree = given >= 0 ? given : how & PLAN_BIND_LATE ? copy_late(c, source, how) : copy_inside(c, source, how);

	if (s->n[BIND_N_TYPE]) {
		uint64_t have;
		if ((mode_of(c, tree, &have) & S_IFMT) != s->n[BIND_N_TYPE] || have != s->n[BIND_N_RDEV])
			fail(c, "device", -ENODEV, source);
	}
	set_bind_attributes(c, s, tree, rec);
	int at = lookup(c, path, O_PATH | (how & PLAN_BIND_TARGET_LINK ? O_NOFOLLOW : 0), resolve);
	if (at == -ENOENT && !(how & PLAN_BIND_TARGET_LINK))
		at = target(c, path, (mode_of(c, tree, 0) & S_IFMT) == S_IFDIR, resolve);
	must(c, at, "openat2", path);
	long r = try_attach(c, tree, at);
	if (r == -ELOOP && how & PLAN_BIND_AGAIN) {
		/* The copy contains the file of a mount namespace that is older than this one.
		 * The kernel refuses to attach such a copy. The mounts that a namespace begins
		 * with do not have such files. */
		tree = c->entered >= 0 ? copy_again(c, source) : copy_late(c, source, how);
		if (given >= 0 && !same_file(c, tree, given))
			fail(c, "open_tree", -ESTALE, source);
		set_bind_attributes(c, s, tree, rec);
		r = try_attach(c, tree, at);
	}
	must(c, r, "move_mount", path);
	sys(__NR_close, at);
	if (fd(c, s, BIND_FD_KEEP) >= 0)
		must(c, sys(__NR_dup3, tree, fd(c, s, BIND_FD_KEEP), O_CLOEXEC), "dup3", path);
	if (tree != given) /* there may be any number of them */
		sys(__NR_close, tree);
	if (c->entered >= 0)
		forget_host(c, s);
}

static void must_be_mount(struct stage *c, int at, const char *path)
{
	struct statx st;

	must(c, sys(__NR_statx, at, "", AT_EMPTY_PATH, 0, &st), "statx", path);
	if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		fail(c, "mount_setattr", -EINVAL, path);
}

void do_remount(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, REMOUNT_S_TARGET);
	struct mount_attr a = {.attr_set = s->n[REMOUNT_N_SET], .attr_clr = s->n[REMOUNT_N_CLEAR]};
	char **options = strings(c, s, REMOUNT_L_OPTIONS);
	/* A filesystem's options apply to all its mounts. A link that has taken the name could
	 * lead to a volume of the host. */
	int at = fd(c, s, REMOUNT_FD_TREE);

	if (at < 0)
		at = (int)must(c, lookup(c, path, O_PATH, *options ? RESOLVE_NO_SYMLINKS : 0), "openat2", path);

	if (!*options && !a.attr_set && !a.attr_clr && !s->n[REMOUNT_N_PROPAGATION])
		must_be_mount(c, at, path); /* mount_setattr(2) does not check that if it has nothing to set */
	if (*options) {
		int fs = (int)must(c, sys(__NR_fspick, at, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH), "fspick", path);
		for (; *options; options++)
			set_option(c, fs, *options);
		must(c, sys(__NR_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0), "fsconfig", path);
		sys(__NR_close, fs);
	}
	set_attributes(c, at, 0, &a, path);
	set_propagation(c, at, s->n[REMOUNT_N_PROPAGATION], path);
	sys(__NR_close, at);
}

static void must_be_link(struct stage *c, int dir, const char *name, const char *text, const char *path)
{
	char have[4096];
	long n = sys(__NR_readlinkat, dir, name, have, sizeof(have));

	for (long i = 0; i < n && have[i] == text[i]; i++)
		if (i + 1 == n && !text[n])
			return;
	fail(c, "symlinkat", -EEXIST, path);
}

void do_symlink(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, SYMLINK_S_LINK), *name;
	int dir = parent_of(c, path, &name);
	long r = sys(__NR_symlinkat, str(c, s, SYMLINK_S_TARGET), dir, name);

	if (r == -EEXIST && s->n[SYMLINK_N_EXACT])
		must_be_link(c, dir, name, str(c, s, SYMLINK_S_TARGET), path);
	else if (r != -EEXIST)
		must(c, r, "symlinkat", path);
	sys(__NR_close, dir);
}

/* Opens a device node, which must have this type and number. */
static int open_node(struct stage *c, int dir, const char *name, uint32_t mode, uint64_t rdev, const char *path)
{
	uint64_t have;
	int node = (int)must(c, open_in(dir, name), "openat2", path);

	if ((mode_of(c, node, &have) & S_IFMT) != (mode & S_IFMT) || have != rdev)
		fail(c, "mknodat", -EEXIST, path);
	return node;
}

void do_device(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, DEVICE_S_PATH), *name;
	uint32_t mode = (uint32_t)s->n[DEVICE_N_MODE];
	uint64_t rdev = s->n[DEVICE_N_RDEV];
	int dir = parent_of(c, path, &name);
	long r = sys(__NR_mknodat, dir, name, mode, device_number(rdev >> 32, (uint32_t)rdev));

	if (r == -EEXIST) {
		/* An existing node stays as it is: the directory may be one of the host's. */
		sys(__NR_close, open_node(c, dir, name, mode, rdev, path));
		sys(__NR_close, dir);
		return;
	}
	must(c, r, "mknodat", path);
	if (s->n[DEVICE_N_UID] || s->n[DEVICE_N_GID]) {
		/* Others may share the directory, and may have replaced the node in between. */
		int node = open_node(c, dir, name, mode, rdev, path);
		must(c, sys(__NR_fchownat, node, "", s->n[DEVICE_N_UID], s->n[DEVICE_N_GID], AT_EMPTY_PATH), "fchownat", path);
		sys(__NR_close, node);
	}
	sys(__NR_close, dir);
}

/* Returns the empty directory that masks directories. All masks share one filesystem, because a
 * superblock for each costs the host a lot (runc issue 5275). */
static int empty_directory(struct stage *c, const char *path)
{
	int fs = (int)must(c, sys(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC), "fsopen", "tmpfs");
	uint64_t set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

	must(c, sys(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "2", 0), "fsconfig", "tmpfs nr_inodes");
	must(c, sys(__NR_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", 0, 0), "fsconfig", "tmpfs ro");
	must(c, sys(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0), "fsconfig", "tmpfs");
	int tree = (int)must(c, sys(__NR_fsmount, fs, FSMOUNT_CLOEXEC, set), "fsmount", path);
	sys(__NR_close, fs);
	return tree;
}

/* Returns the null device that masks files: the host's, checked to be the null device
 * (CVE-2025-31133). It is read-only, since a new mode would also be that of the host's device. */
static int null_device(struct stage *c, const struct plan_step *s)
{
	int tree = fd(c, s, MASK_FD_NULL);
	uint64_t rdev;

	if ((mode_of(c, tree, &rdev) & S_IFMT) != S_IFCHR || rdev != ((uint64_t)1 << 32 | 3))
		fail(c, "open_tree", -ENODEV, "/dev/null of the host is not the null device");
	return tree;
}

/* Attaches the first mask of each kind, and copies of it for the others. */
void do_mask(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, MASK_S_PATH);
	int at = lookup(c, path, O_PATH, 0);

	if (at == -ENOENT) /* ENOTDIR is an error: the path may mean a file that would stay unmasked */
		return;
	must(c, at, "openat2", path);
	int directory = (mode_of(c, at, 0) & S_IFMT) == S_IFDIR, *mask = directory ? &c->masked : &c->null;
	if (*mask < 0) {
		*mask = directory ? empty_directory(c, path) : null_device(c, s);
		attach(c, *mask, at, path);
	} else {
		int tree = copy_mount(c, *mask, 0, path);
		attach(c, tree, at, path);
		sys(__NR_close, tree);
	}
	sys(__NR_close, at);
}

void do_read_only(struct stage *c, const struct plan_step *s)
{
	const char *path = str(c, s, READ_ONLY_S_PATH);
	struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
	int at = lookup(c, path, O_PATH, 0);

	if (at == -ENOENT) /* ENOTDIR is an error: the path may mean a file that would stay writable */
		return;
	must(c, at, "openat2", path);
	int tree = copy_mount(c, at, AT_RECURSIVE, path);
	set_attributes(c, tree, AT_RECURSIVE, &a, path);
	attach(c, tree, at, path);
	sys(__NR_close, tree);
	sys(__NR_close, at);
}

void do_root_read_only(struct stage *c, const struct plan_step *s)
{
	struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};

	(void)s;
	set_attributes(c, c->root, 0, &a, "/");
}

/* Goes to the root of the mount namespace. That is not davit's own root if davit was started in
 * a chroot. A process that joins the namespace, for example an exec, starts at this root, so it
 * must be replaced by the container's. */
static void leave_chroot(struct stage *c)
{
	long r = sys(__NR_setns, c->mounts, CLONE_NEWNS);

	if (r != -EPERM) /* without CAP_SYS_CHROOT nobody can join the namespace either */
		must(c, r, "setns", "/proc/self/ns/mnt");
	sys(__NR_close, c->mounts);
	must(c, sys(__NR_fchdir, c->root), "fchdir", "/");
}

void do_pivot(struct stage *c, const struct plan_step *s)
{
	lift_for_good(c);
	if (fd(c, s, PIVOT_FD_ROOT) >= 0)
		c->root = fd(c, s, PIVOT_FD_ROOT);
	if (s->n[PIVOT_N_CHROOT]) {
		must(c, sys(__NR_fchdir, c->root), "fchdir", "/");
		must(c, sys(__NR_chroot, "."), "chroot", ".");
	} else if (s->n[PIVOT_N_MOVE]) {
		/* MS_MOVE only hides the old /proc and /sys. For user namespaces they would
		 * still count as visible. */
		sys(__NR_umount2, "/proc", UMOUNT_DETACH);
		sys(__NR_umount2, "/sys", UMOUNT_DETACH);
		leave_chroot(c);
		sys(__NR_umount2, "/proc", UMOUNT_DETACH);
		sys(__NR_umount2, "/sys", UMOUNT_DETACH);
		must(c, sys(__NR_mount, ".", "/", 0, MS_MOVE, 0), "mount", "/");
		must(c, sys(__NR_chroot, "."), "chroot", ".");
	} else {
		leave_chroot(c);
		must(c, sys(__NR_pivot_root, ".", "."), "pivot_root", ".");
		/* The old root now lies over the new one: see pivot_root(2), "pivot_root(".",
		 * ".")". */
		must(c, sys(__NR_umount2, ".", UMOUNT_DETACH), "umount2", ".");
	}
	/* In each case the working directory is the new root. */
}

void do_root_propagation(struct stage *c, const struct plan_step *s)
{
	must(c, sys(__NR_mount, 0, "/", 0, s->n[ROOT_PROPAGATION_N_FLAGS], 0), "mount", "/");
}
