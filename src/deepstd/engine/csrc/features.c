/* Features of the context model: whole numbers of -127 ... 127, channels innermost.
 *
 *     low - blur(low) ------------- signed logarithm --+
 *     parents ------------------------ repeated twice --+
 *     template high, low - its low -- signed logarithm -+--> [padded window][channels] int16
 *     places -------------------------------------------+
 */
#include "features.h"

#include <stdlib.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void log_values(const double *values, int64_t count, float *logs) {
    for (int64_t n = 0; n < count; n++) logs[n] = (float)signed_log(values[n]);
}

static int64_t clamped(int64_t at, int64_t length) {
    return at < 0 ? 0 : at >= length ? length - 1 : at;
}

/* Rows of a window with a position on either side, for sums, differences and logarithms. */
struct strip {
    double *sums, *differences;
    int32_t *logs;
    int64_t first, count; /* columns of the window */
};

/* Binomial 1-2-1 sums of a row of the window across the outer axes; edges are repeated. */
INLINE void blur_row(const struct level *l, int64_t i, int64_t j, const struct strip *s) {
    int64_t columns = l->grid[2];
    int volume = l->ndim == 3;
    double *sums = s->sums + 1;
    for (int64_t k = -1; k <= s->count; k++) sums[k] = 0.0;
    for (int di = -volume; di <= volume; di++)
        for (int dj = -1; dj <= 1; dj++) {
            int64_t row = clamped(i + di, l->grid[0]) * l->grid[1] + clamped(j + dj, l->grid[1]);
            const double *values = l->low + row * columns;
            double weight = (di ? 1.0 : 1.0 + volume) * (dj ? 1.0 : 2.0);
            sums[-1] += weight * values[clamped(s->first - 1, columns)];
            for (int64_t k = 0; k < s->count; k++) sums[k] += weight * values[s->first + k];
            sums[s->count] += weight * values[clamped(s->first + s->count, columns)];
        }
}

/* Write the logarithms of some values as one channel. */
INLINE void write_logs(const double *values, const struct strip *s, int channels, int16_t *out) {
    for (int64_t k = 0; k < s->count; k++) s->logs[k] = signed_log(values[k]);
    for (int64_t k = 0; k < s->count; k++) out[k * channels] = (int16_t)s->logs[k];
}

INLINE void write_row(const struct level *l, int64_t i, int64_t j, const struct strip *s,
                      int channels, int16_t *out) {
    int64_t columns = l->grid[2], size = l->grid[0] * l->grid[1] * columns;
    int64_t here = (i * l->grid[1] + j) * columns + s->first;
    const double *low = l->low + here, *sums = s->sums + 1;
    double share = l->ndim == 3 ? 1.0 / 64 : 1.0 / 16, *differences = s->differences;
    blur_row(l, i, j, s);
    for (int64_t k = 0; k < s->count; k++)
        differences[k] = low[k] - floor((sums[k - 1] + sums[k + 1] + 2.0 * sums[k]) * share);
    write_logs(differences, s, channels, out++);
    if (l->parents) {
        int64_t pi = l->split[0] ? i / 2 : i, pj = l->split[1] ? j / 2 : j;
        int64_t apart = l->coarse[0] * l->coarse[1] * l->coarse[2];
        const float *parents = l->parents + (pi * l->coarse[1] + pj) * l->coarse[2];
        for (int b = 0; b < l->bands; b++, parents += apart)
            for (int64_t k = 0; k < s->count; k++)
                out[k * channels + b] = (int16_t)parents[(s->first + k) >> (l->split[2] != 0)];
    }
    out += l->bands;
    if (!l->template_low) return;
    for (int b = 0; b < l->bands; b++)
        write_logs(l->template_high + b * size + here, s, channels, out++);
    for (int64_t k = 0; k < s->count; k++) differences[k] = low[k] - l->template_low[here + k];
    write_logs(differences, s, channels, out++);
    for (int a = 0; a < l->ndim; a++, out++)
        for (int64_t k = 0; k < s->count; k++)
            out[k * channels] = (int16_t)l->places[a * size + here + k];
}

INLINE void write_window(const struct level *l, const struct tile *w, const struct strip *s,
                         int channels, int16_t *target) {
    int64_t padded[3];
    for (int a = 0; a < 3; a++)
        padded[a] = w->end[a] - w->begin[a] + (w->begins[a] != 0) + (w->ends[a] != 0);
    for (int64_t i = w->begin[0]; i < w->end[0]; i++)
        for (int64_t j = w->begin[1]; j < w->end[1]; j++) {
            int64_t plane = i - w->begin[0] + (w->begins[0] != 0);
            int64_t row = plane * padded[1] + j - w->begin[1] + (w->begins[1] != 0);
            int64_t at = row * padded[2] + (w->begins[2] != 0);
            write_row(l, i, j, s, channels, target + at * channels);
        }
}

/* The same for every set of instructions. */
static void log_values_plain(const double *values, int64_t count, float *logs) {
    log_values(values, count, logs);
}
static void write_window_plain(const struct level *l, const struct tile *w, const struct strip *s,
                               int channels, int16_t *target) {
    write_window(l, w, s, channels, target);
}
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void log_values_256(const double *values, int64_t count,
                                                           float *logs) {
    log_values(values, count, logs);
}
__attribute__((target("avx2"))) static void write_window_256(const struct level *l,
                                                             const struct tile *w,
                                                             const struct strip *s, int channels,
                                                             int16_t *target) {
    write_window(l, w, s, channels, target);
}
#endif

/* Features of many values, as float32. */
API void signed_logs(const double *values, int64_t count, float *logs) {
#if defined(__x86_64__)
    if (best_instructions() >= AVX2) { log_values_256(values, count, logs); return; }
#endif
    log_values_plain(values, count, logs);
}

int write_features(const struct level *l, const struct tile *w, int channels, int16_t *target) {
    int64_t count = w->end[2] - w->begin[2];
    double *room = malloc((size_t)(count + 2) * (2 * sizeof *room + sizeof(int32_t)));
    if (!room) return OUT_OF_MEMORY;
    struct strip s = {room, room + count + 2, (int32_t *)(room + 2 * (count + 2)), w->begin[2],
                      count};
#if defined(__x86_64__)
    if (best_instructions() >= AVX2) write_window_256(l, w, &s, channels, target);
    else write_window_plain(l, w, &s, channels, target);
#else
    write_window_plain(l, w, &s, channels, target);
#endif
    free(room);
    return OK;
}
