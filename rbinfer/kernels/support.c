/* What the library of kernels has beside the kernels. */

#include <cpuid.h>

#define EXPORTED __attribute__((visibility("default")))
#define XMM_YMM 0x06u
#define XMM_YMM_ZMM 0xe6u

/* Numba's code names it for arrays that it reserves itself; kernels reserve none. */
__attribute__((visibility("hidden"))) void NRT_MemInfo_call_dtor(void *info) { (void)info; }

static int has_all(unsigned found, unsigned wanted) { return (found & wanted) == wanted; }

/* Registers that the system keeps when it changes from one process to another. */
static unsigned kept_registers(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* The highest level of x86-64 (System V ABI) that this CPU and its system have: 1 to 4.
   By CPUID itself, because __builtin_cpu_supports needs a start-up of its own that not every linker brings. */
EXPORTED int rbinfer_cpu_level(void)
{
    unsigned eax, ebx, ecx, edx, ecx1, ebx7, ecx_extended, kept;
    if (!__get_cpuid(1, &eax, &ebx, &ecx1, &edx)
        || !has_all(ecx1, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B))
        return 1;
    if (!has_all(ecx1, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C | bit_MOVBE)
        || !__get_cpuid_count(7, 0, &eax, &ebx7, &ecx, &edx)
        || !__get_cpuid(0x80000001, &eax, &ebx, &ecx_extended, &edx))
        return 2;
    kept = kept_registers();
    if (!has_all(ebx7, bit_AVX2 | bit_BMI | bit_BMI2) || !has_all(ecx_extended, bit_LZCNT)
        || !has_all(kept, XMM_YMM))
        return 2;
    if (!has_all(ebx7, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL)
        || !has_all(kept, XMM_YMM_ZMM))
        return 3;
    return 4;
}
