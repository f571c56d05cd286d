/* tmpcopyup: a new tmpfs gets the content of the directory that it covers. */
#include "stage.h"

#include <linux/stat.h>

enum { DEEPEST = 64, PIECE = 1 << 30 };

struct dirent {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* What copying a tree needs. */
struct copy {
	struct stage *c;
	int proc;    /* the host's procfs */
	int patience; /* how many ms are left to wait for leases */
};

/* Opens for reading the file that found refers to. By name it could be another file by now, even
 * a device.
 *
 * If a process has a lease for writing (F_SETLEASE of fcntl(2)), the kernel tells it that
 * somebody wants to read, and as a rule it gives up the lease. Without O_NONBLOCK, open would
 * wait for that up to fs.lease-break-time, which is 45 s, for each file. */
static int open_file(struct copy *y, int found, const char *name)
{
	char path[32] = "self/fd/", digits[16];
	size_t n = len_of(path), k = 0;
	int64_t ms[2] = {0, 1000000};
	long r;

	do
		digits[k++] = (char)('0' + found % 10);
	while ((found /= 10) > 0);
	while (k > 0)
		path[n++] = digits[--k];
	while ((r = sys(__NR_openat, y->proc, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) == -EAGAIN && y->patience-- > 0)
		sys(__NR_nanosleep, ms, 0);
	return (int)must(y->c, r, "openat", name);
}

static void copy_file(struct stage *c, int in, int to, const char *name, uint32_t mode)
{
	int out = (int)must(c, sys(__NR_openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), "openat", name);

	while (must(c, sys(__NR_sendfile, out, in, 0, PIECE), "sendfile", name) > 0)
		;
	sys(__NR_close, in);
	sys(__NR_close, out);
}

static void copy_tree(struct copy *y, int from, int to, int depth);

/* Others may share the directory and swap names. So owner, mode and content are taken from one
 * descriptor, and the file is opened only when its type is known. */
static void copy_entry(struct copy *y, int from, int to, const char *name, int depth)
{
	struct stage *c = y->c;
	struct statx st;
	char link[4096];

	int found = (int)must(c, open_in(from, name), "openat2", name);
	must(c, sys(__NR_statx, found, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), "statx", name);
	uint32_t type = st.stx_mode & S_IFMT, mode = st.stx_mode & 07777;
	if (type == S_IFREG) {
		copy_file(c, open_file(y, found, name), to, name, mode);
	} else if (type == S_IFLNK) {
		long n = must(c, sys(__NR_readlinkat, found, "", link, sizeof(link) - 1), "readlinkat", name);
		link[n] = 0;
		must(c, sys(__NR_symlinkat, link, to, name), "symlinkat", name);
	} else if (type == S_IFDIR) {
		int in = (int)must(c, sys(__NR_openat, found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "openat", name);
		must(c, sys(__NR_mkdirat, to, name, mode), "mkdirat", name);
		int out = (int)must(c, sys(__NR_openat, to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "openat", name);
		copy_tree(y, in, out, depth + 1);
		sys(__NR_close, in);
		sys(__NR_close, out);
	} else {
		must(c, sys(__NR_mknodat, to, name, st.stx_mode, device_number(st.stx_rdev_major, st.stx_rdev_minor)), "mknodat", name);
	}
	sys(__NR_close, found);
	must(c, sys(__NR_fchownat, to, name, st.stx_uid, st.stx_gid, AT_SYMLINK_NOFOLLOW), "fchownat", name);
	if (type != S_IFLNK && mode & 06000) /* fchownat has cleared these bits */
		must(c, sys(__NR_fchmodat, to, name, mode), "fchmodat", name);
}

static void copy_tree(struct copy *y, int from, int to, int depth)
{
	struct stage *c = y->c;
	_Alignas(uint64_t) char buf[2048];
	long n;

	if (depth > DEEPEST)
		fail(c, "getdents64", -ELOOP, "tmpcopyup of directories more than 64 deep");
	while ((n = must(c, sys(__NR_getdents64, from, buf, sizeof(buf)), "getdents64", "")) > 0)
		for (long i = 0; i < n; i += ((struct dirent *)(buf + i))->len) {
			const char *name = ((struct dirent *)(buf + i))->name;
			if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
				continue;
			copy_entry(y, from, to, name, depth);
		}
}

void copy_up(struct stage *c, const struct plan_step *s, int source, int tree)
{
	const char *path = str(c, s, COPY_UP_S_TARGET);
	struct copy y = {.c = c, .proc = fd(c, s, COPY_UP_FD_PROC), .patience = 1000};
	struct statx st;
	int from = (int)must(c, sys(__NR_openat, source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "openat", path);
	int to = (int)must(c, sys(__NR_openat, tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "openat", path);

	must(c, sys(__NR_statx, from, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), "statx", path);
	uint32_t uid = s->n[COPY_UP_N_OWNUID] ? -1U : st.stx_uid;
	uint32_t gid = s->n[COPY_UP_N_OWNGID] ? -1U : st.stx_gid;
	must(c, sys(__NR_fchownat, to, "", uid, gid, AT_EMPTY_PATH), "fchownat", path);
	if (!s->n[COPY_UP_N_OWNMODE])
		must(c, sys(__NR_fchmod, to, st.stx_mode & 07777), "fchmod", path);
	copy_tree(&y, from, to, 0);
	sys(__NR_close, from);
	sys(__NR_close, to);
}
