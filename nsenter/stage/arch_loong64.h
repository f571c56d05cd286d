static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("$a7") = n;
	register long a0 __asm__("$a0") = a;
	register long a1 __asm__("$a1") = b;
	register long a2 __asm__("$a2") = c;
	register long a3 __asm__("$a3") = d;
	register long a4 __asm__("$a4") = e;
	register long a5 __asm__("$a5") = f;
	__asm__ volatile("syscall 0"
			 : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
			 : "memory", "$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8");
	return a0;
}

#define sys_map(len, fd) sys6(__NR_mmap, 0, (long)(len), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)

#define START ".globl _start\n_start:\n\tmove $fp,$zero\n\tmove $a0,$sp\n\tbstrins.d $sp,$zero,3,0\n\tb stage_main\n"

static inline long start_thread(long flags, struct second *n, char *stack_end)
{
	register long a7 __asm__("$a7") = __NR_clone;
	register long a0 __asm__("$a0") = flags;
	register char *a1 __asm__("$a1") = stack_end;
	register long a2 __asm__("$a2") = 0;
	register long a3 __asm__("$a3") = 0;
	register long a4 __asm__("$a4") = 0;
	register struct second *arg __asm__("$s2") = n;
	__asm__ volatile("syscall 0\n\tbnez $a0, 1f\n\tmove $a0, $s2\n\tbl second_thread\n1:"
			 : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(arg)
			 : "memory", "$ra", "$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8");
	return a0;
}

enum { O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000 };
