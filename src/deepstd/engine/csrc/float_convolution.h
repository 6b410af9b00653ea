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

/* What becomes of a sum v, with a value o of another array at the output's place. */
enum ending {
    PLAIN,  /* v */
    LEAKY,  /* LeakyReLU of v */
    ADDED,  /* v + o */
    SLOPED  /* v times the slope of the LeakyReLU where its result was o */
};

/* A row of positions `input_step` and `output_step` elements apart. */
struct float_row {
    const float *input;
    const int64_t *taps; /* [tap_count] element offsets of the taps */
    const float *other;  /* at the output's offsets; not read where the ending is PLAIN or LEAKY */
    float *output;       /* all blocks * 16 outputs are written */
    int64_t input_step, output_step;
    int32_t count, ending;
};

/* Convolve a row; `instructions` are some that this CPU has. */
void float_convolve(const struct float_layer *l, const struct float_row *r, int instructions);

#endif
