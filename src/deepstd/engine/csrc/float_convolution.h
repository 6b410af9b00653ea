/* Layers of float convolutions, channels innermost, and the rows of positions that they run over. */
#ifndef DEEPSTD_FLOAT_CONVOLUTION_H
#define DEEPSTD_FLOAT_CONVOLUTION_H

#include "engine.h"

#define FLOAT_LANES 16       /* outputs of one block of weights */
#define LEAKY_SLOPE 0.1f     /* of the LeakyReLU below zero */

struct float_layer {
    const float *weights;            /* [tap_count][inputs][blocks * 16] */
    const float *bias;               /* [blocks * 16] */
    int32_t tap_count, inputs, blocks;
};

/* A row of positions `input_step` and `output_step` elements apart. */
struct float_row {
    const float *input;
    const int64_t *taps; /* [tap_count] element offsets of the taps */
    float *output;       /* all blocks * 16 outputs are written */
    int64_t input_step, output_step;
    int32_t count, leaky; /* whether a LeakyReLU follows */
};

/* Convolve a row; `instructions` are some that this CPU has. */
void float_convolve(const struct float_layer *l, const struct float_row *r, int instructions);

#endif
