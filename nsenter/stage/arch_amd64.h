static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;
	__asm__ volatile("syscall" : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

#define sys_map(len, fd) sys6(__NR_mmap, 0, (long)(len), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)

#define START ".globl _start\n_start:\n\txor %ebp,%ebp\n\tmov %rsp,%rdi\n\tand $-16,%rsp\n\tcall stage_main\n"

static inline long start_thread(long flags, struct second *n, char *stack_end)
{
	long r;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register struct second *arg __asm__("r12") = n;
	__asm__ volatile("syscall\n\ttest %%rax,%%rax\n\tjnz 1f\n\txor %%ebp,%%ebp\n\tmov %%r12,%%rdi\n\tcall second_thread\n1:"
			 : "=a"(r)
			 : "a"(__NR_clone), "D"(flags), "S"(stack_end), "d"(0L), "r"(r10), "r"(r8), "r"(arg)
			 : "rcx", "r11", "memory");
	return r;
}

enum { O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000 };
