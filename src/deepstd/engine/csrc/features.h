/* A level of one scan, a tile of it, and the features of the window around the tile. */
#ifndef DEEPSTD_FEATURES_H
#define DEEPSTD_FEATURES_H

#include "engine.h"

#include <math.h>
#include <string.h>

/* Axes are three; the first of an image has one sample and is not convolved along. */
struct level {
    int64_t grid[3];
    int64_t coarse[3];           /* grid of the parents */
    int32_t split[3];            /* whether the parents' level halves an axis */
    int32_t ndim, bands;
    const double *low;           /* [grid] units */
    const float *parents;        /* [bands][coarse] features, or NULL */
    const double *template_low;  /* [grid] units, or NULL */
    const double *template_high; /* [bands][grid] units */
    const double *places;        /* [ndim][grid] */
    const int32_t *first, *second; /* [width] what the condition adds to two layers */
};

struct tile {
    int64_t begin[3], end[3];       /* of its window on the grid, with what features look at */
    int32_t begins[3], ends[3];     /* whether the window begins and ends where the grid does */
    int64_t tile_begin[3], size[3]; /* of the tile on the grid */
    const uint8_t *mask;            /* [bands][size] which coefficients there are */
    int32_t threads;                /* to use */
};

#define LARGEST_LOG 127
#define LARGEST_LOGGED 65536.0 /* whose logarithm is larger already */

/* sign(x) round(8 log2(1 + floor(|x| / 16))), at most 127.
 *
 * The exponent of a float counts octaves. Its mantissa is compared with 2^((2 k - 1) / 16), rounded
 * up: no whole number of 24 bits lies between. */
static inline int32_t signed_log(double x) {
    static const int32_t steps[8] = {371396,  1164244, 2028851, 2971711,
                                     3999908, 5121165, 6343903, 7677310};
    double scaled = fabs(x) * (1.0 / 16.0);
    float whole = (float)((int32_t)(scaled < LARGEST_LOGGED ? scaled : LARGEST_LOGGED) + 1);
    int32_t bits;
    memcpy(&bits, &whole, sizeof bits);
    int32_t log = ((bits >> 23) - 127) * 8;
    for (int k = 0; k < 8; k++) log += (bits & 0x7fffff) >= steps[k];
    log = log < LARGEST_LOG ? log : LARGEST_LOG;
    return x < 0 ? -log : log;
}

/* Features of a window, into a grid that is padded by one position on borders.
 *
 *     target: [padded grid][channels] zeros; the first channels are written
 */
int write_features(const struct level *l, const struct tile *w, int channels, int16_t *target);

#endif
