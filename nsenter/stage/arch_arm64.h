static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

#define sys_map(len, fd) sys6(__NR_mmap, 0, (long)(len), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)

#define START ".globl _start\n_start:\n\tmov x29,#0\n\tmov x0,sp\n\tb stage_main\n"

static inline long start_thread(long flags, struct second *n, char *stack_end)
{
	register long x8 __asm__("x8") = __NR_clone;
	register long x0 __asm__("x0") = flags;
	register char *x1 __asm__("x1") = stack_end;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register struct second *arg __asm__("x20") = n;
	__asm__ volatile("svc 0\n\tcbnz x0, 1f\n\tmov x0, x20\n\tbl second_thread\n1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(arg)
			 : "memory", "x30");
	return x0;
}

enum { O_DIRECTORY = 040000, O_NOFOLLOW = 0100000 };
