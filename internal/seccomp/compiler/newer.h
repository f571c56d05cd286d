/* System calls younger than the linked libseccomp, up to Linux 7.0. Debian's 2.5.4
 * knows those up to 6.7, upstream's up to 5.17.
 *
 * From 424 on a system call has the same number on every architecture but alpha
 * (Linux, scripts/syscall.tbl); x32 adds its bit. TestAllSyscallsKnown compares
 * with golang.org/x/sys. */

struct newer_syscall {
	const char *name;
	int number;
	uint32_t only; /* the SCMP_ARCH_* that has it, x86_64 with x32; 0: all have */
};

#ifndef SCMP_ARCH_LOONGARCH64 /* since libseccomp 2.6 */
#define SCMP_ARCH_LOONGARCH64 0xc0000102u
#endif

static const struct newer_syscall newer_syscalls[] = {
	{ "riscv_hwprobe", 258, SCMP_ARCH_RISCV64 }, /* 6.4 */
	{ "memfd_secret", 447, SCMP_ARCH_LOONGARCH64 }, /* which libseccomp 2.6 takes for absent there */
	{ "cachestat", 451, 0 },           /* 6.5 */
	{ "fchmodat2", 452, 0 },           /* 6.6 */
	{ "map_shadow_stack", 453, 0 },    /* 6.6 */
	{ "futex_wake", 454, 0 },          /* 6.7 */
	{ "futex_wait", 455, 0 },          /* 6.7 */
	{ "futex_requeue", 456, 0 },       /* 6.7 */
	{ "statmount", 457, 0 },           /* 6.8 */
	{ "listmount", 458, 0 },           /* 6.8 */
	{ "lsm_get_self_attr", 459, 0 },   /* 6.8 */
	{ "lsm_set_self_attr", 460, 0 },   /* 6.8 */
	{ "lsm_list_modules", 461, 0 },    /* 6.8 */
	{ "mseal", 462, 0 },               /* 6.10 */
	{ "uretprobe", 335, SCMP_ARCH_X86_64 },           /* 6.11 */
	{ "setxattrat", 463, 0 },          /* 6.13 */
	{ "getxattrat", 464, 0 },          /* 6.13 */
	{ "listxattrat", 465, 0 },         /* 6.13 */
	{ "removexattrat", 466, 0 },       /* 6.13 */
	{ "open_tree_attr", 467, 0 },      /* 6.15 */
	{ "file_getattr", 468, 0 },        /* 6.17 */
	{ "file_setattr", 469, 0 },        /* 6.17 */
	{ "uprobe", 336, SCMP_ARCH_X86_64 },              /* 6.18 */
	{ "listns", 470, 0 },              /* 6.19 */
	{ "rseq_slice_yield", 471, 0 },    /* 7.0 */
};

#define NEWER_COUNT (sizeof(newer_syscalls) / sizeof(newer_syscalls[0]))
