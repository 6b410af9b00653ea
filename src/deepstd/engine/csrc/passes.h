/* One pass of a tile, whose coefficients are independent given the passes before. */
#ifndef DEEPSTD_PASSES_H
#define DEEPSTD_PASSES_H

#include "context.h"

#define SCALES 64
#define FEWEST_WITH_OFFSET 256 /* a band of fewer symbols in a pass has no offset */
#define LARGEST_OFFSET 4
#define OFFSETS (2 * LARGEST_OFFSET + 1)
#define CLASSES 64
#define SMALL_CLASSES 32
#define MOST_BANDS 7
#define MOST_PASSES 3

/* How an encoder chooses the offsets of bands, all in 2^-20 bits. */
struct offsets {
    const int64_t *bits;         /* [SCALES * CLASSES][OFFSETS] of a symbol */
    const int64_t *own;          /* [OFFSETS] of the offsets themselves */
    const int64_t *edges;        /* [CLASSES - SMALL_CLASSES - 1] first magnitudes of large classes */
    const uint32_t *cumulative;  /* [OFFSETS + 1] */
};

/* Coefficients of a pass, band after band; room for all of a tile's. */
struct expected {
    double *means, *units;       /* whole units */
    uint8_t *scales;
    int64_t *places, *symbols;   /* place of each in [bands][tile] */
    int64_t counts[MOST_BANDS], count;
};

/* What an encoder knows of a tile. */
struct targets {
    const double *values;        /* [bands][tile] normalised coefficients */
    double factor;               /* units of a normalised value */
    const float *corrections;    /* [bands][tile] steps to add to residuals, or NULL */
    float *errors;               /* [bands][tile] steps, written, or NULL */
    const float *prices;         /* [bands][tile] factors of the weights below, or NULL */
    const float *savings;        /* [64][26] bits that the next smaller magnitude saves */
    const float *bits;           /* of trellis_search */
    const uint8_t *before, *taken;
    struct offsets offsets;
    float weights[MOST_PASSES];  /* squared steps that a bit is worth, pass by pass */
    float spacing_weights[MOST_PASSES]; /* the same in spacings of the trellis */
};

/* Best offset of a band; `counts` is room for SCALES * CLASSES numbers. */
int best_offset(const struct offsets *o, const int64_t *symbols, const uint8_t *scales,
                int64_t count, int32_t *counts);

int expected_new(struct expected *x, int64_t room);
void expected_free(struct expected *x);

/* Means and scale indices of the coefficients that a pass codes.
 *
 *     output: [positions][parts * bands] of the head, parts = 2, or 3 with a gate
 *     mask:   [bands][size]; hint: [bands][size] what the gate lets through, or NULL
 */
void pass_expect(struct expected *x, const struct buffer *output, const struct positions *p,
                 int bands, int64_t size, const uint8_t *mask, const double *hint);

/* Choose and write, or read, symbols; units are what they add to the means. */
int pass_encode(struct expected *x, int bands, int pass, const struct targets *t,
                struct encoder *e, const struct tables *tables);
int pass_decode(struct expected *x, int bands, struct decoder *d, const struct tables *tables,
                const uint32_t *offset_edges, const uint8_t *next);

#endif
