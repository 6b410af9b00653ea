/* Exact convolution of 16-bit activations by 16-bit weights, sums in 32 bits.
 *
 *     input rows -> products of channel pairs, tap by tap -> bias, shift, clamp
 *                   -> + condition, + residual -> clamp -> output rows
 *
 * A bundle's own bounds keep every partial sum below 2^24 (see texture/entropy/integer.py), so the sums are
 * the same in any order and on every machine. The three inner loops below differ in speed alone.
 *
 * A row is a run of positions `step` elements apart. Rows are described by offsets, so that one
 * function serves 2-D and 3-D grids, padded and packed buffers, and every second position.
 */
#include "convolution.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LANES 16            /* outputs of one block of weights */
#define OUTPUT_MAX 8191
#define SHARED_FROM 2e7     /* fewer products are not worth a second thread */

/* Shift, clamp, add and store one position's sums. */
INLINE void finish(const struct layer *l, const int32_t *sums, int first, int width,
                   const int16_t *residual, int16_t *output) {
    int32_t value[3 * LANES];
    for (int o = 0; o < width; o++) {
        int32_t v = sums[o] >> l->shift;
        v = v < -OUTPUT_MAX ? -OUTPUT_MAX : v;
        value[o] = v > OUTPUT_MAX ? OUTPUT_MAX : v;
    }
    if (l->extra)
        for (int o = 0; o < width; o++) value[o] += l->extra[first + o];
    if (residual)
        for (int o = 0; o < width; o++) value[o] += residual[first + o];
    for (int o = 0; o < width; o++) {
        int32_t v = value[o] < l->low ? l->low : value[o];
        output[first + o] = (int16_t)(v > l->high ? l->high : v);
    }
}

static void rows_plain(const struct layer *l, const struct rows *r, int64_t begin, int64_t end) {
    int blocks = (l->outputs + LANES - 1) / LANES;
    for (int64_t row = begin; row < end; row++)
        for (int32_t j = 0; j < r->counts[row]; j++)
            for (int block = 0; block < blocks; block++) {
                int32_t sums[LANES];
                memcpy(sums, l->bias + block * LANES, sizeof sums);
                const int16_t *x = r->input + r->input_at[row] + j * r->input_step;
                for (int t = 0; t < l->tap_count; t++) {
                    const int16_t *w =
                        l->weights + ((size_t)t * l->pairs * blocks + block) * LANES * 2;
                    for (int c = 0; c < l->pairs; c++, w += blocks * LANES * 2) {
                        int32_t a = x[l->taps[t] + 2 * c], b = x[l->taps[t] + 2 * c + 1];
                        for (int o = 0; o < LANES; o++) sums[o] += a * w[2 * o] + b * w[2 * o + 1];
                    }
                }
                int first = block * LANES;
                int width = l->outputs - first < LANES ? l->outputs - first : LANES;
                const int16_t *residual =
                    r->residual ? r->residual + r->residual_at[row] + j * r->residual_step : NULL;
                finish(l, sums, first, width, residual,
                       r->output + r->output_at[row] + j * r->output_step);
            }
}

#if defined(__x86_64__)
#include <immintrin.h>

INLINE int32_t pair_at(const char *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return pair;
}

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define AVX2_ONLY __attribute__((target("avx2")))

/* `finish`, 16 outputs at once. */
AVX512 INLINE void finish_512(const struct layer *l, const int32_t *sums, int first, int width,
                              const int16_t *residual, int16_t *output) {
    const __m128i shift = _mm_cvtsi32_si128(l->shift);
    const __m512i most = _mm512_set1_epi32(OUTPUT_MAX), least = _mm512_set1_epi32(-OUTPUT_MAX);
    const __m512i low = _mm512_set1_epi32(l->low), high = _mm512_set1_epi32(l->high);
    for (int o = 0; o < width; o += LANES) {
        __mmask16 here = (__mmask16)(width - o < LANES ? (1u << (width - o)) - 1 : 0xffff);
        __m512i v = _mm512_sra_epi32(_mm512_loadu_si512(sums + o), shift);
        v = _mm512_min_epi32(_mm512_max_epi32(v, least), most);
        if (l->extra)
            v = _mm512_add_epi32(v, _mm512_maskz_loadu_epi32(here, l->extra + first + o));
        if (residual)
            v = _mm512_add_epi32(v, _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(
                                        here, residual + first + o)));
        v = _mm512_min_epi32(_mm512_max_epi32(v, low), high);
        _mm256_mask_storeu_epi16(output + first + o, here, _mm512_cvtepi32_epi16(v));
    }
}

/* `finish`, 8 outputs at once. */
AVX2_ONLY INLINE void finish_256(const struct layer *l, const int32_t *sums, int first, int width,
                                 const int16_t *residual, int16_t *output) {
    const __m128i shift = _mm_cvtsi32_si128(l->shift);
    const __m256i most = _mm256_set1_epi32(OUTPUT_MAX), least = _mm256_set1_epi32(-OUTPUT_MAX);
    const __m256i low = _mm256_set1_epi32(l->low), high = _mm256_set1_epi32(l->high);
    int o = 0;
    for (; o + 8 <= width; o += 8) {
        __m256i v = _mm256_sra_epi32(_mm256_loadu_si256((const __m256i *)(sums + o)), shift);
        v = _mm256_min_epi32(_mm256_max_epi32(v, least), most);
        if (l->extra)
            v = _mm256_add_epi32(
                v, _mm256_loadu_si256((const __m256i *)(l->extra + first + o)));
        if (residual)
            v = _mm256_add_epi32(v, _mm256_cvtepi16_epi32(_mm_loadu_si128(
                                        (const __m128i *)(residual + first + o))));
        v = _mm256_min_epi32(_mm256_max_epi32(v, low), high);
        _mm_storeu_si128((__m128i *)(output + first + o),
                         _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
    }
    if (o < width) finish(l, sums + o, first + o, width - o, residual, output);
}

/* `P` positions, a multiple of 3, by `B` blocks of 16 outputs: P * B sums stay in registers. */
#define KERNEL_512(NAME, P, B)                                                                     \
    AVX512 static void NAME(const struct layer *l, const char *x, int64_t step, int first,         \
                            int blocks, int32_t *out) {                                            \
        __m512i sum[P][B];                                                                         \
        for (int b = 0; b < B; b++) {                                                              \
            __m512i bias = _mm512_loadu_si512(l->bias + (first + b) * LANES);                      \
            for (int p = 0; p < P; p++) sum[p][b] = bias;                                          \
        }                                                                                          \
        for (int t = 0; t < l->tap_count; t++) {                                                   \
            const char *at[P / 3];                                                                 \
            for (int g = 0; g < P / 3; g++) at[g] = x + 2 * l->taps[t] + 3 * g * step;             \
            const int16_t *w =                                                                     \
                l->weights + ((size_t)t * l->pairs * blocks + first) * LANES * 2;                  \
            for (int c = 0; c < l->pairs; c++, w += blocks * LANES * 2) {                          \
                __m512i weight[B];                                                                 \
                for (int b = 0; b < B; b++) weight[b] = _mm512_loadu_si512(w + b * LANES * 2);     \
                for (int g = 0; g < P / 3; g++)                                                    \
                    for (int p = 0; p < 3; p++) {                                                  \
                        __m512i v = _mm512_set1_epi32(pair_at(at[g] + p * step + 4 * c));          \
                        for (int b = 0; b < B; b++)                                                \
                            sum[3 * g + p][b] =                                                    \
                                _mm512_dpwssd_epi32(sum[3 * g + p][b], v, weight[b]);              \
                    }                                                                              \
            }                                                                                      \
        }                                                                                          \
        for (int p = 0; p < P; p++)                                                                \
            for (int b = 0; b < B; b++)                                                            \
                _mm512_storeu_si512(out + (p * B + b) * LANES, sum[p][b]);                         \
    }

#define KERNEL_256(NAME, P, B)                                                                     \
    AVX2_ONLY static void NAME(const struct layer *l, const char *x, int64_t step, int first,      \
                               int blocks, int32_t *out) {                                         \
        __m256i sum[P][2 * B];                                                                     \
        for (int b = 0; b < 2 * B; b++) {                                                          \
            __m256i bias = _mm256_loadu_si256(                                                     \
                (const __m256i *)(l->bias + first * LANES + 8 * b));                               \
            for (int p = 0; p < P; p++) sum[p][b] = bias;                                          \
        }                                                                                          \
        for (int t = 0; t < l->tap_count; t++) {                                                   \
            const char *at = x + 2 * l->taps[t];                                                   \
            const int16_t *w =                                                                     \
                l->weights + ((size_t)t * l->pairs * blocks + first) * LANES * 2;                  \
            for (int c = 0; c < l->pairs; c++, w += blocks * LANES * 2) {                          \
                __m256i weight[2 * B];                                                             \
                for (int b = 0; b < 2 * B; b++)                                                    \
                    weight[b] = _mm256_loadu_si256((const __m256i *)(w + 16 * b));                 \
                for (int p = 0; p < P; p++) {                                                      \
                    __m256i v = _mm256_set1_epi32(pair_at(at + p * step + 4 * c));                 \
                    for (int b = 0; b < 2 * B; b++)                                                \
                        sum[p][b] = _mm256_add_epi32(sum[p][b], _mm256_madd_epi16(v, weight[b]));  \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        for (int p = 0; p < P; p++)                                                                \
            for (int b = 0; b < 2 * B; b++)                                                        \
                _mm256_storeu_si256((__m256i *)(out + p * B * LANES + 8 * b), sum[p][b]);          \
    }

KERNEL_512(kernel_512_1, 12, 1)
KERNEL_512(kernel_512_2, 9, 2)
KERNEL_512(kernel_512_3, 6, 3)
KERNEL_256(kernel_256_1, 5, 1)
KERNEL_256(kernel_256_2, 3, 2)

#define MOST_SUMS (12 * 3 * LANES)

struct kernel {
    void (*run)(const struct layer *, const char *, int64_t, int, int, int32_t *);
    int positions, blocks;
};

static const struct kernel KERNELS_512[3] = {
    {kernel_512_1, 12, 1}, {kernel_512_2, 9, 2}, {kernel_512_3, 6, 3}};
static const struct kernel KERNELS_256[2] = {{kernel_256_1, 5, 1}, {kernel_256_2, 3, 2}};

typedef void finisher(const struct layer *, const int32_t *, int, int, const int16_t *, int16_t *);

INLINE void rows_vector(const struct layer *l, const struct rows *r, int64_t begin, int64_t end,
                        const struct kernel *kernels, int most, finisher *finish_position) {
    int blocks = (l->outputs + LANES - 1) / LANES;
    int32_t sums[MOST_SUMS];
    for (int block = 0; block < blocks;) {
        /* Split evenly: 4 blocks are 2 + 2, not 3 + 1. */
        int left = blocks - block, parts = (left + most - 1) / most;
        struct kernel kernel = kernels[(left + parts - 1) / parts - 1];
        int first = block * LANES, end_output = first + kernel.blocks * LANES;
        int width = (end_output < l->outputs ? end_output : l->outputs) - first;
        for (int64_t row = begin; row < end; row++) {
            const int16_t *x = r->input + r->input_at[row];
            for (int32_t j = 0; j < r->counts[row]; j += kernel.positions) {
                kernel.run(l, (const char *)(x + j * r->input_step), 2 * r->input_step, block,
                           blocks, sums);
                int left_here = r->counts[row] - j;
                int here = left_here < kernel.positions ? left_here : kernel.positions;
                for (int p = 0; p < here; p++) {
                    int64_t n = j + p;
                    const int16_t *residual =
                        r->residual ? r->residual + r->residual_at[row] + n * r->residual_step
                                    : NULL;
                    finish_position(l, sums + p * kernel.blocks * LANES, first, width, residual,
                                    r->output + r->output_at[row] + n * r->output_step);
                }
            }
        }
        block += kernel.blocks;
    }
}

AVX512 static void rows_512(const struct layer *l, const struct rows *r, int64_t begin,
                            int64_t end) {
    rows_vector(l, r, begin, end, KERNELS_512, 3, finish_512);
}

AVX2_ONLY static void rows_256(const struct layer *l, const struct rows *r, int64_t begin,
                               int64_t end) {
    rows_vector(l, r, begin, end, KERNELS_256, 2, finish_256);
}
#endif

/* Convolve the rows from `begin` to `end`. */
API void convolve(const struct layer *l, const struct rows *r, int64_t begin, int64_t end) {
#if defined(__x86_64__)
    int instructions = best_instructions();
    if (instructions == AVX512_VNNI) { rows_512(l, r, begin, end); return; }
    if (instructions == AVX2) { rows_256(l, r, begin, end); return; }
#endif
    rows_plain(l, r, begin, end);
}

struct share {
    const struct layer *layer;
    const struct rows *rows;
};

static void convolve_share(const void *work, int64_t begin, int64_t end) {
    const struct share *s = work;
    convolve(s->layer, s->rows, begin, end);
}

void convolve_shared(const struct layer *l, const struct rows *r, int threads) {
    int64_t positions = 0;
    for (int64_t row = 0; row < r->count; row++) positions += r->counts[row];
    double products = (double)positions * l->tap_count * 2 * l->pairs * l->outputs;
    struct share share = {l, r};
    run_shared(convolve_share, &share, r->count, products > SHARED_FROM ? threads : 1);
}
