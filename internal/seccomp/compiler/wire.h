/* What davit asks of the seccomp compiler and what it answers. Native byte
 * order, no padding. wire.go writes and reads the same; a test compares the
 * sizes and the constants.
 *
 * The request is standard input from offset 0 to its end:
 *	struct request, args[args], names[names], rules[rules],
 *	uint32_t archs[archs], char text[text]
 * The answer is standard output, a regular file, from offset 0. The header is
 * written last, so the answer of a compiler that died has none:
 *	struct answer, uint32_t above[archs], uint32_t known[names],
 *	uint32_t insns[archs][programs], struct sock_filter[] of each */

#include <stdint.h>

#define WIRE_REQUEST 0x31514344u /* "DCQ1" */
#define WIRE_ANSWER 0x31414344u	 /* "DCA1" */
#define WIRE_REQUEST_MAX (1u << 20)
#define WIRE_NAME_MAX 255u
#define WIRE_ARCHS_MAX 8u

/* Step that failed, in answer.step. */
enum wire_step {
	STEP_DONE = 0,
	STEP_REQUEST = 1, /* read or check the request */
	STEP_INIT = 2,	  /* seccomp_init */
	STEP_ARCH = 3,	  /* libseccomp lacks archs[at] */
	STEP_RULE = 4,	  /* seccomp_rule_add_array of rules[at] */
	STEP_EXPORT = 5,  /* seccomp_export_bpf */
	STEP_ANSWER = 6,  /* write the answer */
};

struct request {
	uint32_t magic;
	uint32_t size;		 /* bytes of the whole request */
	uint32_t default_action; /* SCMP_ACT_* with its data */
	uint32_t args;
	uint32_t names;
	uint32_t rules;
	uint32_t archs;
	uint32_t text;
	uint32_t programs; /* at least 1 */
	uint32_t zero;
};

struct request_arg {
	uint32_t index; /* 0 to 5 */
	uint32_t op;	/* enum scmp_compare */
	uint64_t a;
	uint64_t b;
};

/* A system call that the config names. */
struct request_name {
	uint32_t text; /* offset */
	uint32_t length;
};

/* args[arg] to args[arg+args-1] must all hold. The rules of a program follow
 * each other. */
struct request_rule {
	uint32_t program;
	uint32_t name;
	uint32_t action;
	uint32_t arg;
	uint32_t args;
};

struct answer {
	uint32_t magic;
	uint32_t step; /* enum wire_step */
	uint32_t error; /* errno, 0 when done */
	uint32_t at;
	uint32_t archs;
	uint32_t names;
	uint32_t programs;
	uint32_t native; /* SCMP_ARCH_* that the compiler was built for */
};
