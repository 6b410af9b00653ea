/* Weighted means of windows along one axis of an array.
 *
 *     rows of floats -> sums of opposite rows by their weight, in doubles -> rows of floats
 *
 * Borders are reflected: c b a | a b c. Sums have the order of SciPy's correlate1d, from the ends of
 * a window to its centre.
 */
#include "engine.h"

#include <stdlib.h>

#define INLINE static inline __attribute__((always_inline))
#define RUN 256 /* values at once, whose sums stay in the first cache */

struct window_mean {
    const float *values;  /* [outer][length][inner] */
    float *means;         /* the same */
    int64_t outer, length, inner;
    const double *weights; /* [radius + 1] from the centre of the window to its end */
    int32_t radius;
};

static int64_t reflected(int64_t at, int64_t length) {
    at %= 2 * length;
    if (at < 0) at += 2 * length;
    return at < length ? at : 2 * length - 1 - at;
}

/* Means of a run of columns at one place of the axis. */
INLINE void mean_of_rows(const struct window_mean *m, const float *values, int64_t place,
                         int count, float *means) {
    double sums[RUN];
    const float *row = values + place * m->inner;
    for (int k = 0; k < count; k++) sums[k] = row[k] * m->weights[0];
    for (int r = m->radius; r; r--) {
        const float *before = values + reflected(place - r, m->length) * m->inner;
        const float *after = values + reflected(place + r, m->length) * m->inner;
        for (int k = 0; k < count; k++)
            sums[k] += ((double)before[k] + (double)after[k]) * m->weights[r];
    }
    for (int k = 0; k < count; k++) means[k] = (float)sums[k];
}

/* Means of a run along a line, whose surroundings are in `line`. */
INLINE void mean_of_line(const struct window_mean *m, const double *line, int count,
                         float *means) {
    double sums[RUN];
    for (int k = 0; k < count; k++) sums[k] = line[k] * m->weights[0];
    for (int r = m->radius; r; r--)
        for (int k = 0; k < count; k++) sums[k] += (line[k - r] + line[k + r]) * m->weights[r];
    for (int k = 0; k < count; k++) means[k] = (float)sums[k];
}

/* Filter along the last axis; `line` has room for a line and its surroundings. */
INLINE void filter_lines(const struct window_mean *m, double *line) {
    double *first = line + m->radius;
    for (int64_t n = 0; n < m->outer; n++) {
        const float *values = m->values + n * m->length;
        for (int64_t k = 0; k < m->length; k++) first[k] = values[k];
        for (int64_t r = 1; r <= m->radius; r++) {
            first[-r] = values[reflected(-r, m->length)];
            first[m->length - 1 + r] = values[reflected(m->length - 1 + r, m->length)];
        }
        for (int64_t k = 0; k < m->length; k += RUN) {
            int count = (int)(m->length - k < RUN ? m->length - k : RUN);
            mean_of_line(m, first + k, count, m->means + n * m->length + k);
        }
    }
}

INLINE void filter_rows(const struct window_mean *m) {
    for (int64_t n = 0; n < m->outer; n++)
        for (int64_t k = 0; k < m->inner; k += RUN) {
            int64_t at = n * m->length * m->inner + k;
            int count = (int)(m->inner - k < RUN ? m->inner - k : RUN);
            for (int64_t place = 0; place < m->length; place++)
                mean_of_rows(m, m->values + at, place, count, m->means + at + place * m->inner);
        }
}

INLINE void filter(const struct window_mean *m, double *line) {
    if (m->inner == 1) filter_lines(m, line);
    else filter_rows(m);
}

static void filter_plain(const struct window_mean *m, double *line) { filter(m, line); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void filter_256(const struct window_mean *m, double *line) {
    filter(m, line);
}
#endif

/* Filter along one axis of an array. */
API int window_means(const struct window_mean *m) {
    double *line = malloc((size_t)(m->length + 2 * m->radius) * sizeof *line);
    if (!line) return OUT_OF_MEMORY;
#if defined(__x86_64__)
    if (best_instructions() >= AVX2) filter_256(m, line);
    else filter_plain(m, line);
#else
    filter_plain(m, line);
#endif
    free(line);
    return OK;
}
