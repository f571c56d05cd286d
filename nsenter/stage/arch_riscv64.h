static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = n;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
}

#define sys_map(len, fd) sys6(__NR_mmap, 0, (long)(len), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)

/* The linker may address data relative to gp. */
#define START ".globl _start\n_start:\n\t.option push\n\t.option norelax\n\tlla gp,__global_pointer$\n\t.option pop\n" \
	"\tmv a0,sp\n\tandi sp,sp,-16\n\ttail stage_main\n"

static inline long start_thread(long flags, struct second *n, char *stack_end)
{
	register long a7 __asm__("a7") = __NR_clone;
	register long a0 __asm__("a0") = flags;
	register char *a1 __asm__("a1") = stack_end;
	register long a2 __asm__("a2") = 0;
	register long a3 __asm__("a3") = 0;
	register long a4 __asm__("a4") = 0;
	register struct second *arg __asm__("s2") = n;
	__asm__ volatile("ecall\n\tbnez a0, 1f\n\tmv a0, s2\n\tcall second_thread\n1:"
			 : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(arg)
			 : "memory", "ra");
	return a0;
}

enum { O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000 };
