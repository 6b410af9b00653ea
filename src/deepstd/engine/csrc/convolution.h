/* Layers of exact convolutions, and the rows of positions that they run over. */
#ifndef DEEPSTD_CONVOLUTION_H
#define DEEPSTD_CONVOLUTION_H

#include "engine.h"

/* Positions past the end of a row that a convolution may read. */
#define SLACK 12

struct layer {
    const int16_t *weights; /* [taps][pairs][blocks * 16][2] */
    const int32_t *bias;    /* [blocks * 16], half a unit of the shift included */
    const int32_t *extra;   /* [outputs] added after the shift, or NULL */
    const int64_t *taps;    /* [tap_count] element offsets of the taps */
    int32_t tap_count, pairs, outputs, shift, low, high;
};

struct rows {
    const int16_t *input;    /* readable for SLACK positions past the end of every row */
    const int16_t *residual; /* added before the last clamp, or NULL */
    int16_t *output;
    const int64_t *input_at, *residual_at, *output_at; /* [rows] element offsets */
    const int32_t *counts;                             /* [rows] positions */
    int64_t input_step, residual_step, output_step, count;
};

API void convolve(const struct layer *l, const struct rows *r, int64_t begin, int64_t end);

/* All rows of a convolution, in at most `threads` equal shares. */
void convolve_shared(const struct layer *l, const struct rows *r, int threads);

#endif
