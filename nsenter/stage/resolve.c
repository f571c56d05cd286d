/* Resolves names inside the container. The kernel does it, below the container's root
 * (openat2(2), Linux 5.6): invariant 3. */
#include "stage.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/stat.h>

enum { PATH_MAX = 4096, MAX_LINKS = 40 };

/* Concurrent renames make openat2 fail with EAGAIN. If an attacker keeps renaming, the step
 * fails in the end, but it never gets a wrong file. */
enum { RETRIES = 4096 };

int lookup(struct stage *c, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};
	long r = -EAGAIN;

	for (int i = 0; i < RETRIES && r == -EAGAIN; i++)
		r = sys(__NR_openat2, c->root, path, &how, sizeof(how));
	return (int)r;
}

/* Opens the file with this name in a directory. The name can be anything: it never leads out of
 * the directory, and never through a link. Returns a descriptor or -errno. */
int open_in(int dir, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};

	return (int)sys(__NR_openat2, dir, name, &how, sizeof(how));
}

uint32_t mode_of(struct stage *c, int fd, uint64_t *rdev)
{
	struct statx st;

	must(c, sys(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &st), "statx", "");
	if (rdev)
		*rdev = (uint64_t)st.stx_rdev_major << 32 | st.stx_rdev_minor;
	return st.stx_mode;
}

/* Makes a directory as its owner. If the owner were set afterwards, somebody who can write to
 * the parent could have given the name to another directory. Changing the file system user
 * changes the capabilities and makes the process dumpable; this undoes both. */
static long make_owned(struct stage *c, int parent, const char *name, const uint32_t *owner)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct set[2];

	must(c, sys(__NR_capget, &head, set), "capget", "");
	long gid = sys(__NR_setfsgid, owner[1]), uid = sys(__NR_setfsuid, owner[0]);
	sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	must(c, sys(__NR_capset, &head, set), "capset", "");
	long r = sys(__NR_mkdirat, parent, name, 0755);
	sys(__NR_setfsuid, uid);
	sys(__NR_setfsgid, gid);
	sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	must(c, sys(__NR_capset, &head, set), "capset", "");
	return r;
}

/* Refuses "", "." and "..", which are not the name of a file. Only lookup() may go up, because
 * it knows the root. */
static void check_name(struct stage *c, const char *name, const char *path)
{
	if (name[0] == 0 || (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))))
		fail(c, "openat2", -ENOENT, path);
}

/* Makes one missing component in the directory that was resolved. -EEXIST means that somebody
 * has made something there in between, or that it is a link that leads nowhere. A ".." behind a
 * name that has vanished is refused: the stage does not follow it itself. */
static long make(struct stage *c, int parent, const char *name, int directory, const char *path, const uint32_t *owner)
{
	long r;

	check_name(c, name, path);
	if (owner)
		r = make_owned(c, parent, name, owner);
	else
		r = directory ? sys(__NR_mkdirat, parent, name, 0755) : sys(__NR_mknodat, parent, name, S_IFREG | 0644, 0);
	if (r < 0 && r != -EEXIST)
		fail(c, directory ? "mkdirat" : "mknodat", r, path);
	return r;
}

/* Writes to todo the path that remains after following the link name in the directory parent.
 * Unless the link is absolute, it begins with the first n bytes of prefix, the path up to the
 * link's name; then come the link's text and the rest of the path. Returns 0 if there is no such
 * link. */
static int follow(struct stage *c, int parent, const char *name, const char *prefix, size_t n, const char *rest, char *todo)
{
	char path[PATH_MAX];
	size_t more = len_of(rest) + 1;

	memcpy(path, prefix, n);
	long len = sys(__NR_readlinkat, parent, name, path + n, sizeof(path) - n);
	if (len == -EINVAL || len == -ENOENT)
		return 0;
	must(c, len, "readlinkat", prefix);
	size_t from = path[n] == '/' ? n : 0;
	size_t end = n + (size_t)len;
	if (end + more > sizeof(path))
		fail(c, "openat2", -ENAMETOOLONG, prefix);
	memcpy(path + end, rest, more);
	memcpy(todo, path + from, end + more - from);
	return 1;
}

/* Walks along path and makes what is missing: directories, and at the end a directory or an
 * empty file. If a link leads nowhere, it makes what the link names.
 *
 * Others may rename and remove every name on the way, and may have written the text of every
 * link. So the kernel resolves each prefix from the root again, also the part that was just made
 * (lookup). The returned descriptor comes from there, so it is below the root whatever has
 * happened. No name is ever opened in a directory that was opened before; in such a directory
 * names are only made, and links are read. */
static int walk(struct stage *c, const char *path, int directory, uint64_t resolve, const uint32_t *owner)
{
	char prefix[PATH_MAX], todo[PATH_MAX];
	size_t n = 0;
	int at = lookup(c, "/", O_PATH | O_DIRECTORY, 0), links = 0;

	must(c, at, "openat2", "/");
	if (len_of(path) >= sizeof(prefix))
		fail(c, "openat2", -ENAMETOOLONG, path);
	/* cppcheck-suppress uninitvar ; follow() fills todo before path points to it */
	while (*path) {
		while (*path == '/')
			prefix[n++] = *path++;
		if (!*path)
			break;
		const char *name = prefix + n;
		while (*path && *path != '/')
			prefix[n++] = *path++;
		prefix[n] = 0;
		int next = lookup(c, prefix, O_PATH, resolve);
		if (next == -ENOENT) {
			long made = make(c, at, name, *path || directory, prefix, owner);
			if (made == -EEXIST && follow(c, at, name, prefix, (size_t)(name - prefix), path, todo)) {
				if (resolve & RESOLVE_NO_SYMLINKS || ++links > MAX_LINKS)
					fail(c, "openat2", -ELOOP, prefix);
				path = todo;
				n = 0;
				next = lookup(c, "/", O_PATH | O_DIRECTORY, 0);
			} else {
				next = lookup(c, prefix, O_PATH, resolve);
			}
		}
		must(c, next, "openat2", prefix);
		sys(__NR_close, at);
		at = next;
	}
	return at;
}

int target(struct stage *c, const char *path, int directory, uint64_t resolve)
{
	int r = lookup(c, path, O_PATH, resolve);

	if (r == -ENOENT)
		r = walk(c, path, directory, resolve, 0);
	return (int)must(c, r, "openat2", path);
}

int make_directories(struct stage *c, const char *path, const uint32_t *owner) { return walk(c, path, 1, 0, owner); }

/* Returns the directory that contains path, which it makes if it is missing, and path's last
 * component. */
int parent_of(struct stage *c, const char *path, const char **name)
{
	char dir[PATH_MAX];
	size_t n = len_of(path);

	if (n >= sizeof(dir))
		fail(c, "openat2", -ENAMETOOLONG, path);
	while (n > 0 && path[n - 1] != '/')
		n--;
	*name = path + n;
	check_name(c, *name, path);
	if (n == 0)
		return (int)must(c, lookup(c, "/", O_PATH | O_DIRECTORY, 0), "openat2", path);
	memcpy(dir, path, n);
	dir[n] = 0;
	return target(c, dir, 1, 0);
}

long try_attach(struct stage *c, int tree, int fd)
{
	long r = sys(__NR_move_mount, tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);

	/* For "not a directory", as engines know it from mount(2), move_mount(2) returns EINVAL
	 * (do_move_mount in the kernel). */
	if (r == -EINVAL && ((mode_of(c, tree, 0) & S_IFMT) == S_IFDIR) != ((mode_of(c, fd, 0) & S_IFMT) == S_IFDIR))
		return -ENOTDIR;
	return r;
}

void attach(struct stage *c, int tree, int fd, const char *path)
{
	must(c, try_attach(c, tree, fd), "move_mount", path);
}
