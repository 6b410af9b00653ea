/* Instruction sets of the CPU, asked when the library is loaded. */
#include "engine.h"

#include <stdatomic.h>

static atomic_int chosen = PLAIN_C;

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static int instructions_of_cpu(void) {
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
static int instructions_of_cpu(void) { return PLAIN_C; }
#endif

API int engine_interface(void) { return ENGINE_INTERFACE; }
API int engine_instructions(void) { return best_instructions(); }

int best_instructions(void) { return atomic_load_explicit(&chosen, memory_order_relaxed); }

/* Let all functions use the best instructions of this CPU up to `most`. */
API void engine_limit(int most) {
    int best = instructions_of_cpu();
    atomic_store_explicit(&chosen, best < most ? best : most, memory_order_relaxed);
}
