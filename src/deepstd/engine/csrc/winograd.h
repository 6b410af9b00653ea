/* Convolutions by 3 x 3 weights with a quarter of the products (Winograd's F(4 x 4, 3 x 3)). */
#ifndef DEEPSTD_WINOGRAD_H
#define DEEPSTD_WINOGRAD_H

#include "float_convolution.h"

#define WINOGRAD_TILE 4   /* outputs of a tile along an axis */
#define WINOGRAD_PATCH 6  /* inputs of a tile along an axis */
#define WINOGRAD_TAPS 36  /* coefficients of a patch; a layer of so many taps has their weights */
#define WINOGRAD_TILES 24 /* at once: their coefficients stay in the second cache */

/* A stack of planes of positions; each is padded by one position around whole tiles. */
struct planes {
    int64_t count, rows, columns;   /* grid of positions */
    int64_t plane_step, row_step;   /* positions from one to the next */
    int32_t depth;                  /* planes that an output depends on: 1, or 3 */
};

/* What becomes of a sum, in this order; arrays have the output's places. */
struct ending {
    const float *added;  /* is added, or NULL */
    const float *sloped; /* results of a LeakyReLU by whose slopes the sum is multiplied, or NULL */
    int32_t leaky;       /* whether a LeakyReLU follows */
};

struct winograd_work {
    const struct float_layer *layer; /* inputs: depth times the channels of a position */
    const struct planes *planes;
    const float *input;              /* at the first position, as the output is */
    float *output;
    int64_t input_step, output_step; /* elements between positions, multiples of 16 */
    struct ending ending;
    int32_t instructions;
};

int64_t winograd_tiles(const struct planes *p);

/* Floats that `winograd_convolve` needs beside its arrays. */
int64_t winograd_scratch(const struct float_layer *l);

/* Convolve the tiles from `begin` to `end`. */
void winograd_convolve(const struct winograd_work *w, int64_t begin, int64_t end, float *scratch);

#endif
