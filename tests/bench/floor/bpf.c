/*
 * Writes a seccomp filter as C. The filter allows the system calls named on the command line, and
 * refuses all others. The floor uses it for a pod's config.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	struct sock_filter insn;
	int pipes[2], i;

	if (!ctx || seccomp_arch_add(ctx, SCMP_ARCH_X86) || seccomp_arch_add(ctx, SCMP_ARCH_X32) || pipe(pipes))
		return 1;
	for (i = 1; i < argc; i++) {
		int call = seccomp_syscall_resolve_name(argv[i]);

		if (call != __NR_SCMP_ERROR && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0))
			return 1;
	}
	if (seccomp_export_bpf(ctx, pipes[1])) /* smaller than a pipe holds: 4096 instructions of 8 bytes */
		return 1;
	close(pipes[1]);
	while (read(pipes[0], &insn, sizeof insn) == sizeof insn)
		printf("\t{ %u, %u, %u, %uu },\n", insn.code, insn.jt, insn.jf, insn.k);
	seccomp_release(ctx);
	return 0;
}
