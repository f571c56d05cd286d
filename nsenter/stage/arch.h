/* This is what differs by machine; each machine has a file of its own. A machine that lacks a
 * file or an entry does not build. The entries are:
 *
 * sys6 makes a system call and returns its result, on failure a negative errno.
 *
 * sys_map calls mmap(2) for a file: private, readable and writable, from its beginning.
 *
 * START is the program's entry: it calls stage_main(sp) with the stack as the kernel left it.
 *
 * start_thread calls clone(2) with flags and the end of a stack; the new thread calls
 * second_thread(arg).
 *
 * O_DIRECTORY and O_NOFOLLOW. */
#ifndef ARCH_H
#define ARCH_H

struct second;

#if defined(__x86_64__)
#include "arch_amd64.h"
#elif defined(__aarch64__)
#include "arch_arm64.h"
#elif defined(__riscv) && __riscv_xlen == 64
#include "arch_riscv64.h"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#include "arch_ppc64le.h"
#elif defined(__s390x__)
#include "arch_s390x.h"
#elif defined(__loongarch64)
#include "arch_loong64.h"
#else
#error "davit is for 64-bit machines: amd64, arm64, riscv64, ppc64le, s390x, loong64"
#endif

#endif
