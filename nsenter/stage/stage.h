/* The stage carries out a plan, step by step, and then becomes the container
 * process. It decides nothing, allocates nothing, and runs without a libc.
 *
 * What goes over the control socket (SOCK_SEQPACKET), and after the connection
 * of `start` over that:
 *
 *   stage  -> parent  ERROR    a step failed; the stage exits
 *   stage  -> parent  FORKED   value: pid of the process that goes on
 *   stage  -> parent  PHASE    value: enum plan_phase; the stage waits
 *   parent -> stage   PROCEED  value: pid of the container process
 *   parent -> stage   OPENED   value: index of the plan's descriptor that the one with this message (SCM_RIGHTS) replaces
 *   stage  -> parent  READY    the container is created
 *   stage  -> parent  OUTPUT   value: 1 or 2; with it goes what the step's hook wrote to stdout or stderr
 *   stage  -> parent  TRACE    value, end: monotonic ns of a step (when asked for)
 *
 * End of file on the control socket means that the creator is gone: the stage
 * exits. End of file on the connection of `start` means that exec succeeded.
 */
#ifndef STAGE_H
#define STAGE_H

#include "plan.h"
#include "sys.h"

struct stage {
	const struct plan_header *h;
	char *data;
	const struct plan_step *steps;
	uint32_t step;	   /* the index of the current step */
	int control;	   /* the socket to the parent, until the container is created */
	int channel;	   /* where errors go: control, later start's connection; or -1 */
	int base;	   /* the number of the plan's first descriptor */
	int nfds;	   /* how many descriptors the plan has */
	int root;	   /* the container's root directory */
	int null;	   /* a null device that masks files, attached in the container */
	int masked;	   /* the empty directory that masks directories */
	int mounts;	   /* the container's mount namespace, until its root is in place; if entered is set, the host's */
	int host;	   /* the host's root directory, while the stage can go back there */
	int entered;	   /* the container's mount namespace, while the stage can go back to the host's; else -1 */
	int filtered;	   /* a seccomp filter is loaded: send nothing but errors */
	int64_t pid;	   /* the container process, as the parent sees it */
	const char *program; /* the path of the program to execute */
	const struct plan_step *hook_filter; /* the seccomp step for startContainer hooks, or 0 */
	uint64_t nofile[2];  /* the limit of descriptors before it was raised */
	long umask;	   /* the umask of davit's caller */
	struct message error; /* the error that the reporter sends, with detail */
	const char *detail;
	int reporter;	   /* the state of the reporter, enum reporter */
};

/* The reporter is a second thread that a filter does not apply to (see load_filter). This is its
 * state. */
enum reporter { REPORTER_NONE, REPORTER_WATCHES, REPORTER_TELLS };

typedef void step_fn(struct stage *c, const struct plan_step *s);

_Noreturn void end(int status);
_Noreturn void fail(struct stage *c, const char *call, long err, const char *detail);
void tell(struct stage *c, uint32_t kind, int64_t value, int64_t end);
void tell_output(struct stage *c, int stream, const char *text, size_t len);
int64_t hear(struct stage *c); /* waits for PROCEED, and takes the descriptors of OPENED that come before it */

static inline const char *str(struct stage *c, const struct plan_step *s, int slot)
{
	return c->data + s->s[slot].off;
}
static inline uint32_t size(const struct plan_step *s, int slot) { return s->s[slot].len; }
static inline int fd(struct stage *c, const struct plan_step *s, int slot)
{
	return s->fd[slot] ? c->base + (int)s->fd[slot] - 1 : -1;
}

/* Checks a system call's result: on failure the step has failed. */
static inline long must(struct stage *c, long r, const char *call, const char *detail)
{
	if (r < 0)
		fail(c, call, r, detail);
	return r;
}

/* A device's number as mknod(2) takes it: new_encode_dev of the kernel's linux/kdev_t.h. */
static inline uint64_t device_number(uint64_t major, uint64_t minor)
{
	return major << 8 | (minor & 0xff) | (minor & 0xffffff00) << 12;
}

/* main.c */
const char *check_plan(const char *plan, uint64_t len, uint32_t nfds); /* what is wrong with it, or 0 */
char **strings(struct stage *c, const struct plan_step *s, int slot);
void fill_pid(struct stage *c, const struct plan_step *s, int slot);

/* resolve.c */
int lookup(struct stage *c, const char *path, int flags, uint64_t resolve); /* returns a descriptor or -errno */
int target(struct stage *c, const char *path, int directory, uint64_t resolve);
int parent_of(struct stage *c, const char *path, const char **name);
int open_in(int dir, const char *name); /* opens with O_PATH; returns a descriptor or -errno */
uint32_t mode_of(struct stage *c, int fd, uint64_t *rdev);
int make_directories(struct stage *c, const char *path, const uint32_t *owner);
long try_attach(struct stage *c, int tree, int fd);
void attach(struct stage *c, int tree, int fd, const char *path);

/* copyup.c */
void copy_up(struct stage *c, const struct plan_step *s, int source, int tree);

long send_message(int socket, const struct message *m, const char *detail, size_t len);
int send_fd(int socket, int fd, const char *text, size_t len);

#define DECLARE(op, name) step_fn do_##name;
PLAN_OPS(DECLARE)
#undef DECLARE

#endif
