/* What differs by machine, one file each. A machine that lacks a file, or a file that lacks an entry,
 * does not build. Each has:
 *
 *   sys6          a system call: its result, a negative errno on failure
 *   sys_map       mmap(2) of a file, private, readable and writable, from its beginning
 *   START         the program's entry: calls stage_main(sp) with the stack as the kernel left it
 *   start_thread  clone(2) with flags and the end of a stack; the new thread calls second_thread(arg)
 *   O_DIRECTORY, O_NOFOLLOW
 */
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
