/* System calls without a C library. Each returns the kernel's result, on failure a negative
 * errno. */
#ifndef SYS_H
#define SYS_H

#include <asm/unistd.h>
#include <linux/mman.h>
#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

#include "arch.h"

#define SYS_ARG(x) ((long)(x))
#define SYS_PICK(_0, _1, _2, _3, _4, _5, _6, name, ...) name
#define SYS_0(n) sys6(n, 0, 0, 0, 0, 0, 0)
#define SYS_1(n, a) sys6(n, SYS_ARG(a), 0, 0, 0, 0, 0)
#define SYS_2(n, a, b) sys6(n, SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define SYS_3(n, a, b, c) sys6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define SYS_4(n, a, b, c, d) sys6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)
#define SYS_5(n, a, b, c, d, e) sys6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)
#define SYS_6(n, a, b, c, d, e, f) sys6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), SYS_ARG(f))

/* sys(openat, dir, path, flags) */
#define sys(...) SYS_PICK(__VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1, SYS_0)(__VA_ARGS__)

/* From errno(3), fcntl(2), mount(2) and others, whose libc headers cannot be used here. */
enum {
	EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EEXIST = 17, ENODEV = 19, ENOTDIR = 20,
	EISDIR = 21, EINVAL = 22, ENFILE = 23, EMFILE = 24, EPIPE = 32, ENAMETOOLONG = 36, ENOSYS = 38, ELOOP = 40, EPROTO = 71, ECONNABORTED = 103, ETIMEDOUT = 110, ESTALE = 116,
};
enum {
	AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_EMPTY_PATH = 0x1000, AT_RECURSIVE = 0x8000,
	O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_EXCL = 0200, O_NOCTTY = 0400, O_NONBLOCK = 04000,
	O_CLOEXEC = 02000000,
	O_PATH = 010000000,
};
enum { S_IFMT = 0170000, S_IFIFO = 010000, S_IFCHR = 020000, S_IFBLK = 060000, S_IFDIR = 040000, S_IFREG = 0100000, S_IFLNK = 0120000 };
enum { SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGTERM = 15, SA_RESTORER = 0x04000000 };
enum { SIGKILL = 9, SIGPIPE = 13, SIGCHLD = 17, SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2, CLD_EXITED = 1 };
enum { X_OK = 1, POLLIN = 1, POLLOUT = 4, CLOCK_MONOTONIC = 1, IOPRIO_WHO_PROCESS = 1, IFF_UP = 1 };
enum { MSG_NOSIGNAL = 0x4000, MSG_CMSG_CLOEXEC = 0x40000000, SOL_SOCKET = 1, SCM_RIGHTS = 1, AF_INET = 2, SOCK_DGRAM = 2 };
enum { UMOUNT_DETACH = 2, ST_NOEXEC = 8 };

struct iovec {
	const void *base;
	size_t len;
};
struct msghdr {
	void *name;
	uint32_t namelen;
	struct iovec *iov;
	size_t iovlen;
	void *control;
	size_t controllen;
	uint32_t flags;
};
struct cmsg_fd {
	size_t len;
	int32_t level, type, fd, pad;
};
struct pollfd {
	int32_t fd;
	int16_t events, revents;
};

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

static inline size_t len_of(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

#endif
