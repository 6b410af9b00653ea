/* Convolution of float activations by float weights.
 *
 *     input row -> products of all outputs of a position, tap by tap -> + bias (-> LeakyReLU) -> row
 *
 * No symbol depends on the sums, so instruction sets may round them differently. Some positions by
 * some blocks of 16 outputs stay in registers. A row is split into equal runs of positions, and
 * there is a kernel for each length, so nothing is computed past its end.
 */
#include "float_convolution.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Sums stay in registers only if their loops are unrolled early. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Four lanes, which every compiler maps to the registers of its CPU or splits. */
typedef float four __attribute__((vector_size(16)));

INLINE four four_at(const float *x) {
    four v;
    memcpy(&v, x, sizeof v);
    return v;
}

/* `positions`, a constant, from the `j`-th on, by the block of outputs from the `first` on. */
INLINE void positions_plain(const struct float_layer *l, const struct float_row *r, int32_t j,
                            int first, int positions) {
    four sum[3][4];
    int outputs = l->blocks * FLOAT_LANES;
    UNROLL
    for (int p = 0; p < positions; p++)
        UNROLL
        for (int b = 0; b < 4; b++) sum[p][b] = four_at(l->bias + first + 4 * b);
    const float *w = l->weights + first;
    for (int t = 0; t < l->tap_count; t++) {
        const float *x = r->input + j * r->input_step + r->taps[t];
        for (int c = 0; c < l->inputs; c++, w += outputs)
            UNROLL
            for (int p = 0; p < positions; p++)
                UNROLL
                for (int b = 0; b < 4; b++)
                    sum[p][b] += x[c + p * r->input_step] * four_at(w + 4 * b);
    }
    UNROLL
    for (int p = 0; p < positions; p++) {
        float *out = r->output + (j + p) * r->output_step + first;
        memcpy(out, sum[p], sizeof sum[p]);
        for (int o = 0; r->leaky && o < FLOAT_LANES; o++) out[o] *= out[o] > 0 ? 1.0f : LEAKY_SLOPE;
    }
}

static void row_plain(const struct float_layer *l, const struct float_row *r) {
    for (int first = 0; first < l->blocks * FLOAT_LANES; first += FLOAT_LANES) {
        int32_t j = 0;
        for (; j + 3 <= r->count; j += 3) positions_plain(l, r, j, first, 3);
        for (; j < r->count; j++) positions_plain(l, r, j, first, 1);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET_512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define TARGET_256 __attribute__((target("avx2,fma")))

/* `P` positions from the `j`-th on, by `B` blocks of 16 outputs from the `first` on. Positions go
 * in groups of three, which one address with the steps 0, 1 and 2 reaches. */
#define KERNEL_512(P, B)                                                                           \
    TARGET_512 static void kernel_512_##P##_##B(const struct float_layer *l,                       \
                                                const struct float_row *r, int32_t j, int first) { \
        __m512 sum[P][B];                                                                          \
        int64_t step = r->input_step * 4, outputs = l->blocks * FLOAT_LANES;                       \
        UNROLL                                                                                     \
        for (int b = 0; b < B; b++) {                                                              \
            __m512 bias = _mm512_loadu_ps(l->bias + (first + b) * FLOAT_LANES);                    \
            UNROLL                                                                                 \
            for (int p = 0; p < P; p++) sum[p][b] = bias;                                          \
        }                                                                                          \
        const float *w = l->weights + first * FLOAT_LANES;                                         \
        for (int t = 0; t < l->tap_count; t++) {                                                   \
            const char *at[(P + 2) / 3];                                                           \
            UNROLL                                                                                 \
            for (int g = 0; g < (P + 2) / 3; g++)                                                  \
                at[g] = (const char *)(r->input + r->taps[t]) + (j + 3 * g) * step;                \
            for (int c = 0; c < l->inputs; c++, w += outputs) {                                    \
                __m512 weight[B];                                                                  \
                UNROLL                                                                             \
                for (int b = 0; b < B; b++) weight[b] = _mm512_loadu_ps(w + b * FLOAT_LANES);      \
                UNROLL                                                                             \
                for (int p = 0; p < P; p++) {                                                      \
                    __m512 v = _mm512_set1_ps(                                                     \
                        *(const float *)(at[p / 3] + (p % 3) * step + 4 * c));                     \
                    UNROLL                                                                         \
                    for (int b = 0; b < B; b++)                                                    \
                        sum[p][b] = _mm512_fmadd_ps(v, weight[b], sum[p][b]);                      \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL                                                                                     \
        for (int p = 0; p < P; p++)                                                                \
            UNROLL                                                                                 \
            for (int b = 0; b < B; b++) {                                                          \
                __m512 v = sum[p][b], below = _mm512_mul_ps(v, _mm512_set1_ps(LEAKY_SLOPE));       \
                if (r->leaky) v = _mm512_max_ps(v, below);                                         \
                float *out = r->output + (j + p) * r->output_step;                                 \
                _mm512_storeu_ps(out + (first + b) * FLOAT_LANES, v);                              \
            }                                                                                      \
    }

#define KERNEL_256(P)                                                                              \
    TARGET_256 static void kernel_256_##P(const struct float_layer *l, const struct float_row *r,  \
                                          int32_t j, int first) {                                  \
        __m256 sum[P][2];                                                                          \
        int64_t step = r->input_step * 4, outputs = l->blocks * FLOAT_LANES;                       \
        UNROLL                                                                                     \
        for (int b = 0; b < 2; b++) {                                                              \
            __m256 bias = _mm256_loadu_ps(l->bias + first * FLOAT_LANES + 8 * b);                  \
            UNROLL                                                                                 \
            for (int p = 0; p < P; p++) sum[p][b] = bias;                                          \
        }                                                                                          \
        const float *w = l->weights + first * FLOAT_LANES;                                         \
        for (int t = 0; t < l->tap_count; t++) {                                                   \
            const char *at[(P + 2) / 3];                                                           \
            UNROLL                                                                                 \
            for (int g = 0; g < (P + 2) / 3; g++)                                                  \
                at[g] = (const char *)(r->input + r->taps[t]) + (j + 3 * g) * step;                \
            for (int c = 0; c < l->inputs; c++, w += outputs) {                                    \
                __m256 weight[2] = {_mm256_loadu_ps(w), _mm256_loadu_ps(w + 8)};                   \
                UNROLL                                                                             \
                for (int p = 0; p < P; p++) {                                                      \
                    __m256 v = _mm256_set1_ps(                                                     \
                        *(const float *)(at[p / 3] + (p % 3) * step + 4 * c));                     \
                    UNROLL                                                                         \
                    for (int b = 0; b < 2; b++)                                                    \
                        sum[p][b] = _mm256_fmadd_ps(v, weight[b], sum[p][b]);                      \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL                                                                                     \
        for (int p = 0; p < P; p++)                                                                \
            UNROLL                                                                                 \
            for (int b = 0; b < 2; b++) {                                                          \
                __m256 v = sum[p][b], below = _mm256_mul_ps(v, _mm256_set1_ps(LEAKY_SLOPE));       \
                if (r->leaky) v = _mm256_max_ps(v, below);                                         \
                float *out = r->output + (j + p) * r->output_step;                                 \
                _mm256_storeu_ps(out + first * FLOAT_LANES + 8 * b, v);                            \
            }                                                                                      \
    }

typedef void kernel(const struct float_layer *, const struct float_row *, int32_t, int);

KERNEL_512(1, 1) KERNEL_512(2, 1) KERNEL_512(3, 1) KERNEL_512(4, 1) KERNEL_512(5, 1)
KERNEL_512(6, 1) KERNEL_512(7, 1) KERNEL_512(8, 1) KERNEL_512(9, 1) KERNEL_512(10, 1)
KERNEL_512(11, 1) KERNEL_512(12, 1)
KERNEL_512(1, 2) KERNEL_512(2, 2) KERNEL_512(3, 2) KERNEL_512(4, 2) KERNEL_512(5, 2)
KERNEL_512(6, 2) KERNEL_512(7, 2) KERNEL_512(8, 2) KERNEL_512(9, 2) KERNEL_512(10, 2)
KERNEL_512(11, 2) KERNEL_512(12, 2)
KERNEL_512(1, 3) KERNEL_512(2, 3) KERNEL_512(3, 3) KERNEL_512(4, 3) KERNEL_512(5, 3)
KERNEL_512(6, 3) KERNEL_512(7, 3) KERNEL_512(8, 3)
KERNEL_256(1) KERNEL_256(2) KERNEL_256(3) KERNEL_256(4) KERNEL_256(5) KERNEL_256(6)

#define MOST_POSITIONS 12

/* Kernels of 1, 2 and 3 blocks, by the number of positions. */
static kernel *const KERNELS_512[3][MOST_POSITIONS] = {
    {kernel_512_1_1, kernel_512_2_1, kernel_512_3_1, kernel_512_4_1, kernel_512_5_1, kernel_512_6_1,
     kernel_512_7_1, kernel_512_8_1, kernel_512_9_1, kernel_512_10_1, kernel_512_11_1,
     kernel_512_12_1},
    {kernel_512_1_2, kernel_512_2_2, kernel_512_3_2, kernel_512_4_2, kernel_512_5_2, kernel_512_6_2,
     kernel_512_7_2, kernel_512_8_2, kernel_512_9_2, kernel_512_10_2, kernel_512_11_2,
     kernel_512_12_2},
    {kernel_512_1_3, kernel_512_2_3, kernel_512_3_3, kernel_512_4_3, kernel_512_5_3, kernel_512_6_3,
     kernel_512_7_3, kernel_512_8_3}};
static const int MOST_512[3] = {12, 12, 8};
static kernel *const KERNELS_256[1][MOST_POSITIONS] = {{kernel_256_1, kernel_256_2, kernel_256_3,
                                                        kernel_256_4, kernel_256_5, kernel_256_6}};
static const int MOST_256[1] = {6};

static void row_vector(const struct float_layer *l, const struct float_row *r,
                       kernel *const kernels[][MOST_POSITIONS], const int *most, int most_blocks) {
    for (int block = 0; block < l->blocks;) {
        /* Split evenly: 4 blocks are 2 + 2, not 3 + 1; so are positions. */
        int left = l->blocks - block, parts = (left + most_blocks - 1) / most_blocks;
        int blocks = (left + parts - 1) / parts;
        int32_t runs = (r->count + most[blocks - 1] - 1) / most[blocks - 1];
        for (int32_t n = 0; n < runs; n++) {
            int32_t j = (int32_t)((int64_t)r->count * n / runs);
            int32_t end = (int32_t)((int64_t)r->count * (n + 1) / runs);
            kernels[blocks - 1][end - j - 1](l, r, j, block);
        }
        block += blocks;
    }
}
#endif

void float_convolve(const struct float_layer *l, const struct float_row *r, int instructions) {
#if defined(__x86_64__)
    if (instructions == AVX512_VNNI) { row_vector(l, r, KERNELS_512, MOST_512, 3); return; }
    if (instructions == AVX2) { row_vector(l, r, KERNELS_256, MOST_256, 1); return; }
#else
    (void)instructions;
#endif
    row_plain(l, r);
}
