/* Features of the context model: whole numbers of -127 ... 127, channels innermost.
 *
 *     low - blur(low) ------------- signed logarithm --+
 *     parents ------------------------ repeated twice --+
 *     template high, low - its low -- signed logarithm -+--> [padded window][channels] int16
 *     places -------------------------------------------+
 */
#include "features.h"

#include <math.h>
#include <stdlib.h>

#define LARGEST 127

int signed_log(double x, const double *thresholds) {
    double magnitude = floor(fabs(x) * (1.0 / 16.0));
    int log = 0;
    /* Halves of 127 thresholds, without branches that the CPU cannot predict. */
    for (int half = (LARGEST + 1) / 2; half; half /= 2)
        log += thresholds[log + half - 1] <= magnitude ? half : 0;
    return x < 0 ? -log : log;
}

/* Features of many values, as float32. */
API void signed_logs(const double *values, int64_t count, const double *thresholds, float *logs) {
    for (int64_t n = 0; n < count; n++) logs[n] = (float)signed_log(values[n], thresholds);
}

static int64_t clamped(int64_t at, int64_t length) {
    return at < 0 ? 0 : at >= length ? length - 1 : at;
}

/* Binomial 1-2-1 sums of a row of the grid across the outer axes; edges are repeated. */
static void blurred_row(const struct level *l, int64_t i, int64_t j, double *sums) {
    int64_t columns = l->grid[2];
    int volume = l->ndim == 3;
    for (int64_t k = 0; k < columns; k++) sums[k] = 0.0;
    for (int di = -volume; di <= volume; di++)
        for (int dj = -1; dj <= 1; dj++) {
            int64_t row = clamped(i + di, l->grid[0]) * l->grid[1] + clamped(j + dj, l->grid[1]);
            const double *values = l->low + row * columns;
            double weight = (di ? 1.0 : 1.0 + volume) * (dj ? 1.0 : 2.0);
            for (int64_t k = 0; k < columns; k++) sums[k] += weight * values[k];
        }
}

int write_features(const struct level *l, const struct tile *w, int channels, int16_t *target) {
    int64_t columns = l->grid[2], rows = l->grid[0] * l->grid[1], size = rows * columns;
    int64_t padded[3];
    for (int a = 0; a < 3; a++)
        padded[a] = w->end[a] - w->begin[a] + (w->begins[a] != 0) + (w->ends[a] != 0);
    double *sums = malloc((size_t)columns * sizeof *sums), share = l->ndim == 3 ? 1.0 / 64 : 1.0 / 16;
    if (!sums) return OUT_OF_MEMORY;
    for (int64_t i = w->begin[0]; i < w->end[0]; i++)
        for (int64_t j = w->begin[1]; j < w->end[1]; j++) {
            blurred_row(l, i, j, sums);
            int64_t here = (i * l->grid[1] + j) * columns;
            int64_t pi = l->split[0] ? i / 2 : i, pj = l->split[1] ? j / 2 : j;
            const float *parents =
                l->parents ? l->parents + (pi * l->coarse[1] + pj) * l->coarse[2] : NULL;
            int64_t parents_apart = l->coarse[0] * l->coarse[1] * l->coarse[2];
            int16_t *out = target + (((i - w->begin[0] + (w->begins[0] != 0)) * padded[1] + j -
                                      w->begin[1] + (w->begins[1] != 0)) * padded[2] +
                                     (w->begins[2] != 0)) * channels;
            for (int64_t k = w->begin[2]; k < w->end[2]; k++, out += channels) {
                double low = l->low[here + k];
                double around = sums[clamped(k - 1, columns)] + sums[clamped(k + 1, columns)];
                int16_t *next = out;
                *next++ = (int16_t)signed_log(low - floor((around + 2.0 * sums[k]) * share),
                                              l->thresholds);
                int64_t pk = l->split[2] ? k / 2 : k;
                for (int b = 0; b < l->bands; b++)
                    *next++ = parents ? (int16_t)parents[b * parents_apart + pk] : 0;
                if (!l->template_low) continue;
                for (int b = 0; b < l->bands; b++)
                    *next++ = (int16_t)signed_log(l->template_high[b * size + here + k],
                                                  l->thresholds);
                *next++ = (int16_t)signed_log(low - l->template_low[here + k], l->thresholds);
                for (int a = 0; a < l->ndim; a++)
                    *next++ = (int16_t)l->places[a * size + here + k];
            }
        }
    free(sums);
    return OK;
}
