/* On failure the kernel sets the summary overflow bit of cr0 and returns a positive errno. */
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r0 __asm__("r0") = n;
	register long r3 __asm__("r3") = a;
	register long r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c;
	register long r6 __asm__("r6") = d;
	register long r7 __asm__("r7") = e;
	register long r8 __asm__("r8") = f;
	__asm__ volatile("sc\n\tbns+ 1f\n\tneg %1,%1\n1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
			 :
			 : "memory", "cr0", "ctr", "xer", "r9", "r10", "r11", "r12");
	return r3;
}

#define sys_map(len, fd) sys6(__NR_mmap, 0, (long)(len), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)

/* ELFv2 ABI: r2 points to the table of contents. A frame has 32 bytes and begins with a link to
 * the frame before. */
#define START ".globl _start\n_start:\n\tlis 2,.TOC.@ha\n\taddi 2,2,.TOC.@l\n\tmr 3,1\n\tclrrdi 1,1,4\n\tli 0,0\n" \
	"\tstdu 0,-32(1)\n\tmtlr 0\n\tbl stage_main\n\tnop\n"

static inline long start_thread(long flags, struct second *n, char *stack_end)
{
	register long r0 __asm__("r0") = __NR_clone;
	register long r3 __asm__("r3") = flags;
	register char *r4 __asm__("r4") = stack_end - 64;
	register long r5 __asm__("r5") = 0;
	register long r6 __asm__("r6") = 0;
	register long r7 __asm__("r7") = 0;
	register struct second *arg __asm__("r20") = n;
	__asm__ volatile("sc\n\tbns+ 1f\n\tneg 3,3\n\tb 2f\n1:\tcmpdi 3,0\n\tbne 2f\n\tmr 3,20\n\tbl second_thread\n\tnop\n2:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
			 : "r"(arg)
			 : "memory", "cr0", "ctr", "xer", "lr", "r8", "r9", "r10", "r11", "r12");
	return r3;
}

enum { O_DIRECTORY = 040000, O_NOFOLLOW = 0100000 };
