/* The seccomp compiler: rules in, BPF out, through libseccomp (wire.h says
 * how). davit runs it only when a filter is not in its cache.
 *
 * It makes many small programs, for each architecture apart and as davit
 * distributes the rules among them (config.distribute in config.go says why), and
 * davit merges those. Filters of several architectures are not asked of
 * libseccomp: 2.5 makes wrong code of one for x86_64 and x32 with rules for x86_64
 * only.
 *
 * Nothing here depends on the running kernel: the same request has the same
 * answer everywhere. */

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "newer.h"
#include "wire.h"

struct input {
	const struct request *head;
	const struct request_arg *args;
	const struct request_name *names;
	const struct request_rule *rules;
	const uint32_t *archs;
	const char *text;
};

static union {
	struct request head; /* for its alignment */
	uint64_t word;
	char bytes[WIRE_REQUEST_MAX + 1];
} buffer;

static uint32_t above[WIRE_ARCHS_MAX];
static uint32_t known[WIRE_REQUEST_MAX / sizeof(struct request_name)];
static uint32_t insns[WIRE_ARCHS_MAX * (WIRE_REQUEST_MAX / sizeof(struct request_rule) + 1)];

static struct answer answer = { .magic = WIRE_ANSWER };

static int fail(enum wire_step step, int error, uint32_t at)
{
	answer.step = step;
	answer.error = (uint32_t)error;
	answer.at = at;
	return -1;
}

/* From the inside of libseccomp (src/arch.h): the architecture whose numbers
 * seccomp_rule_add takes. Other architectures' numbers it finds by name in its own
 * tables, which end with the system calls of its day; so each program is made with
 * its own architecture as the native one, and may have any number. */
struct arch_def;
extern const struct arch_def *arch_def_native;
const struct arch_def *arch_def_lookup(uint32_t token);

/* The number that a name has on an architecture: negative where libseccomp
 * rewrites the call or the architecture lacks it, __NR_SCMP_ERROR if there is no
 * such call. */
static int resolve(uint32_t arch, const char *name)
{
	int number = seccomp_syscall_resolve_name_arch(arch, name);
	int x32 = arch == SCMP_ARCH_X32 ? 0x40000000 : 0;
	uint32_t machine = x32 ? SCMP_ARCH_X86_64 : arch;

	if (number >= 0)
		return number;
	for (size_t i = 0; i < NEWER_COUNT; i++) {
		const struct newer_syscall *s = &newer_syscalls[i];
		if (strcmp(name, s->name) != 0)
			continue;
		if (s->only ? s->only == machine : number == __NR_SCMP_ERROR)
			return s->number | x32;
		if (number == __NR_SCMP_ERROR)
			return __NR_SCMP_UNDEF;
	}
	return number;
}

/* Takes count records of size bytes from the request at *at. */
static const void *take(size_t *at, size_t end, size_t count, size_t size)
{
	const void *start = buffer.bytes + *at;

	if (count > (end - *at) / size)
		return NULL;
	*at += count * size;
	return start;
}

static int check_tables(const struct input *in)
{
	const struct request *r = in->head;
	uint32_t program = 0;

	for (uint32_t i = 0; i < r->names; i++) {
		const struct request_name *n = &in->names[i];
		if (n->length == 0 || n->length > WIRE_NAME_MAX ||
		    n->text > r->text || n->length > r->text - n->text)
			return fail(STEP_REQUEST, EBADMSG, i);
	}
	for (uint32_t i = 0; i < r->rules; i++) {
		const struct request_rule *rule = &in->rules[i];
		if (rule->program < program || rule->program >= r->programs ||
		    rule->name >= r->names ||
		    rule->arg > r->args || rule->args > r->args - rule->arg || rule->args > 6)
			return fail(STEP_REQUEST, EBADMSG, i);
		program = rule->program;
	}
	for (uint32_t i = 0; i < r->args; i++)
		if (in->args[i].index > 5 || in->args[i].op < SCMP_CMP_NE ||
		    in->args[i].op > SCMP_CMP_MASKED_EQ)
			return fail(STEP_REQUEST, EBADMSG, i);
	return 0;
}

/* args, which have 8-byte words, come first, so all are aligned. */
static int parse(struct input *in, size_t size)
{
	const struct request *r = in->head = &buffer.head;
	size_t at = sizeof(*r);

	if (size < sizeof(*r) || r->magic != WIRE_REQUEST || r->size != size ||
	    r->archs > WIRE_ARCHS_MAX || r->programs == 0 || r->programs > r->rules + 1)
		return fail(STEP_REQUEST, EBADMSG, 0);
	in->args = take(&at, size, r->args, sizeof(*in->args));
	if (in->args)
		in->names = take(&at, size, r->names, sizeof(*in->names));
	if (in->names)
		in->rules = take(&at, size, r->rules, sizeof(*in->rules));
	if (in->rules)
		in->archs = take(&at, size, r->archs, sizeof(*in->archs));
	if (in->archs)
		in->text = take(&at, size, r->text, 1);
	if (!in->text || at != size)
		return fail(STEP_REQUEST, EBADMSG, 0);
	return check_tables(in);
}

static int read_request(struct input *in)
{
	size_t size = 0;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, buffer.bytes + size, sizeof(buffer.bytes) - size);
		if (n < 0)
			return fail(STEP_REQUEST, errno, 0);
		if (n == 0)
			return parse(in, size);
		size += (size_t)n;
		if (size > WIRE_REQUEST_MAX)
			return fail(STEP_REQUEST, E2BIG, 0);
	}
}

static void copy_name(char *to, const struct input *in, uint32_t name)
{
	const struct request_name *n = &in->names[name];

	memcpy(to, in->text + n->text, n->length);
	to[n->length] = '\0';
}

/* Which names exist at all, and the number above all that are named of each
 * architecture. */
static void look_up(const struct input *in)
{
	char name[WIRE_NAME_MAX + 1];

	for (uint32_t i = 0; i < in->head->names; i++) {
		copy_name(name, in, i);
		for (uint32_t a = 0; a < in->head->archs; a++) {
			int number = resolve(in->archs[a], name);
			if (number != __NR_SCMP_ERROR)
				known[i] = 1;
			if (number >= 0 && (uint32_t)number >= above[a])
				above[a] = (uint32_t)number + 1;
		}
	}
}

/* Whether an architecture has a call for which libseccomp has a negative number: by socketcall(2),
 * from -100 down, or by ipc(2), from -200 down (__PNR_ in seccomp.h). */
static int rewritten(uint32_t arch, int number)
{
	if (number > -100 || number <= -10000)
		return 0;
	return seccomp_syscall_resolve_name_arch(arch, number > -200 ? "socketcall" : "ipc") >= 0;
}

/* A program loads the system call's number before its first comparison. libseccomp (2.6 too) puts
 * the load into the rule that it sorts first, and leaves it out if that rule has a negative number:
 * the program then takes the architecture for the number. So a call that the architecture lacks
 * gets no rule, and what a call is rewritten to is sorted before it. */
static int add_rule(scmp_filter_ctx ctx, const struct input *in, uint32_t arch, uint32_t at)
{
	const struct request_rule *rule = &in->rules[at];
	const struct request_arg *arg = &in->args[rule->arg];
	struct scmp_arg_cmp compare[6];
	char name[WIRE_NAME_MAX + 1];

	for (uint32_t i = 0; i < rule->args; i++)
		compare[i] = (struct scmp_arg_cmp){ arg[i].index, arg[i].op, arg[i].a, arg[i].b };
	copy_name(name, in, rule->name);
	int number = resolve(arch, name);
	if (number < 0 && !rewritten(arch, number))
		return 0;
	int rc = seccomp_rule_add_array(ctx, rule->action, number, rule->args, compare);
	if (rc >= 0 && number < 0)
		rc = seccomp_syscall_priority(ctx, number, UINT8_MAX);
	return rc < 0 ? fail(STEP_RULE, -rc, at) : 0;
}

/* Writes the program for one architecture of the rules from *rule on that have
 * the same program number, and leaves *rule behind them. */
static int build(const struct input *in, uint32_t arch, uint32_t program, uint32_t *rule)
{
	scmp_filter_ctx ctx = seccomp_init(in->head->default_action);
	int rc = 0;

	if (!ctx)
		return fail(STEP_INIT, EINVAL, program);
	for (; *rule < in->head->rules && in->rules[*rule].program == program; (*rule)++) {
		rc = add_rule(ctx, in, arch, *rule);
		if (rc < 0)
			goto out;
	}
	rc = seccomp_export_bpf(ctx, STDOUT_FILENO);
	if (rc < 0)
		rc = fail(STEP_EXPORT, -rc, program);
out:
	seccomp_release(ctx);
	return rc;
}

static int compile(const struct input *in)
{
	uint32_t archs = in->head->archs;
	uint32_t programs = in->head->programs;
	off_t at = (off_t)(sizeof(answer) + 4 * (archs + in->head->names + archs * programs));

	if (lseek(STDOUT_FILENO, at, SEEK_SET) < 0)
		return fail(STEP_ANSWER, errno, 0);
	for (uint32_t a = 0; a < archs; a++) {
		uint32_t rule = 0;
		arch_def_native = arch_def_lookup(in->archs[a]);
		if (!arch_def_native)
			return fail(STEP_ARCH, EINVAL, a);
		for (uint32_t p = 0; p < programs; p++) {
			if (build(in, in->archs[a], p, &rule) < 0)
				return -1;
			off_t end = lseek(STDOUT_FILENO, 0, SEEK_CUR);
			insns[a * programs + p] = (uint32_t)((end - at) / 8);
			at = end;
		}
	}
	return 0;
}

static int put(const void *data, size_t size, off_t *at)
{
	ssize_t n = pwrite(STDOUT_FILENO, data, size, *at);

	if (n != (ssize_t)size)
		return -1;
	*at += n;
	return 0;
}

static int write_answer(const struct input *in)
{
	off_t at = sizeof(answer);
	off_t start = 0;

	if (answer.step == STEP_DONE) {
		answer.archs = in->head->archs;
		answer.names = in->head->names;
		answer.programs = in->head->archs * in->head->programs;
		if (put(above, 4 * answer.archs, &at) < 0 ||
		    put(known, 4 * answer.names, &at) < 0 ||
		    put(insns, 4 * answer.programs, &at) < 0)
			return -1;
	}
	return put(&answer, sizeof(answer), &start);
}

int main(void)
{
	struct input in = { 0 };

	seccomp_api_set(6); /* all that 2.5 can, instead of what this kernel can */
	answer.native = seccomp_arch_native();
	if (read_request(&in) == 0) {
		look_up(&in);
		compile(&in);
	}
	return write_answer(&in) < 0 ? 1 : 0;
}
