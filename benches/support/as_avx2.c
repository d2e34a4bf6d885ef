/* Shows a program a processor with AVX2 and nothing newer: no AVX-512, no VNNI, no AMX, no 16-bit arithmetic.
 *
 *     cc -O2 -shared -fPIC -o as_avx2.so as_avx2.c && LD_PRELOAD=$PWD/as_avx2.so resnetd ...
 *
 * So that what such a processor does with a model can be tried on a newer one (`make bench-arithmetic AS=avx2`): libraries ask CPUID
 * what there is. Linux can make that instruction fault in a process (arch_prctl, ARCH_SET_CPUID); each fault is answered here with
 * what the processor says, less the newer features. Intel only (cpuid_fault in /proc/cpuinfo); /proc/cpuinfo itself is not changed. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

static int let_cpuid_run(int runs) { return (int)syscall(SYS_arch_prctl, ARCH_SET_CPUID, (long)runs); }

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
    unsigned a, b, c, d, leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX];

    /* A fault at an address is a real one: it happens again under the default action. CPUID's is a general protection
     * fault, which has none. */
    if (info->si_addr || instruction[0] != 0x0f || instruction[1] != 0xa2) {
        signal(signal_number, SIG_DFL);
        return;
    }
    let_cpuid_run(1);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    let_cpuid_run(0);
    if (leaf == 7 && subleaf == 0) {
        /* AVX512 F, DQ, IFMA, PF, ER, CD, BW, VL */
        b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
        /* AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        /* AVX512 4VNNIW, 4FMAPS, VP2INTERSECT; AMX BF16; AVX512 FP16; AMX TILE, INT8 */
        d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
    } else if (leaf == 7) {
        /* AVX-VNNI, AVX512 BF16, AMX FP16 and what came after */
        a = b = c = d = 0;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    /* Every program that is started from this one begins here again: starting one ends the faults. */
    if (sigaction(SIGSEGV, &action, NULL) != 0 || let_cpuid_run(0) != 0) {
        fputs("as_avx2: this processor or kernel cannot make CPUID fault\n", stderr);
        exit(1);
    }
}
