/* Instruction sets of the CPU, asked at run time. */
#include "engine.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

int best_instructions(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA))
        return PLAIN_C;
    uint64_t state = enabled_state();
    if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return PLAIN_C;
    if (!(b & bit_AVX2)) return PLAIN_C;
    const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    const unsigned vnni = 1u << 11;
    if ((state & 0xe6) == 0xe6 && (b & wide) == wide && (c & vnni)) return AVX512_VNNI;
    return AVX2;
}
#else
int best_instructions(void) { return PLAIN_C; }
#endif

API int engine_interface(void) { return ENGINE_INTERFACE; }
API int engine_instructions(void) { return best_instructions(); }
