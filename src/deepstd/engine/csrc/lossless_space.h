/* Planes of a slab: levels with margins, errors of the experts, and statistics of blocks.
 *
 *     this slice <- reference (one slice or frame before) <- second reference
 */
#ifndef DEEPSTD_LOSSLESS_SPACE_H
#define DEEPSTD_LOSSLESS_SPACE_H

#include "lossless_mix.h"
#include "lossless_normal.h"

#define ERROR_ROWS 2         /* margins of the planes of errors, together */
#define ERROR_COLUMNS 4
#define BIAS_TERMS (TEXTURES * SCALES)

/* Everything that coding a slab remembers. */
struct state {
    struct slab *slab;
    struct bits bits;
    struct mixer *mixer;
    struct counter runs[RUNS];
    double bias_sum[BIAS_TERMS], bias_count[BIAS_TERMS];
    int64_t width, error_width;          /* of a row with its margins */
    int64_t plane_size, error_size;
    int64_t ring;                        /* planes kept */
    double *planes;                      /* [ring][rows + 2 * MARGIN][width] */
    float *errors;                       /* [2][rows + 2][error_width][EXPERTS] */
    int64_t blocks;                      /* side by side */
    double *row_sums;                    /* [blocks][PACKED] products above and of this row */
    float *block_sums;                   /* [rows of blocks][blocks][PACKED] of each block */
    double block[PACKED];                /* products of the block in work */
    double slab_sums[PACKED];            /* products of all voxels so far, forgetting */
    double weights[PREDICTORS][COLUMNS];
    int64_t solved;
    int deep;                            /* whether this slice has a reference */
    const double *reference, *second;    /* planes, or NULL */
    double *here;
    float *error, *error_before;
};

INLINE double *plane_of(const struct state *s, int64_t slice) {
    return s->planes + slice % s->ring * s->plane_size;
}

/* Fill the margins left and right of a row with its first and last value. */
INLINE void widen_row(double *row, int64_t columns) {
    for (int n = 1; n <= MARGIN; n++) {
        row[-n] = row[0];
        row[columns - 1 + n] = row[columns - 1];
    }
}

/* Margins of a slice to come: above, the reference's first row or zeros. */
static void begin_plane(struct state *s) {
    size_t bytes = (size_t)(MARGIN * s->width) * sizeof *s->here;
    if (s->reference) memcpy(s->here, s->reference, bytes);
    else memset(s->here, 0, bytes);
    int64_t row = s->error_width * EXPERTS;
    memcpy(s->error, s->error_before + row, (size_t)row * sizeof *s->error);
}

/* Margins of a slice that is known: the rows at its edges. */
static void end_plane(struct state *s) {
    const struct slab *b = s->slab;
    size_t bytes = (size_t)s->width * sizeof *s->here;
    double *last = s->here + (MARGIN + b->rows - 1) * s->width;
    for (int n = 0; n < MARGIN; n++) {
        memcpy(s->here + n * s->width, s->here + MARGIN * s->width, bytes);
        memcpy(last + (n + 1) * s->width, last, bytes);
    }
    int64_t row = s->error_width * EXPERTS;
    memcpy(s->error + (b->rows + 1) * row, s->error + b->rows * row,
           (size_t)row * sizeof *s->error);
}

static void end_error_row(struct state *s, int64_t y) {
    float *row = s->error + (y + 1) * s->error_width * EXPERTS;
    float *last = row + (s->slab->columns + 1) * EXPERTS;
    for (int k = 0; k < EXPERTS; k++) {
        row[k] = row[EXPERTS + k] = row[2 * EXPERTS + k];
        last[EXPERTS + k] = last[2 * EXPERTS + k] = last[k];
    }
}

static void state_free(struct state *s) {
    if (!s) return;
    free(s->mixer);
    free(s->planes);
    free(s->errors);
    free(s->row_sums);
    free(s->block_sums);
    free(s);
}

static void first_beliefs(struct state *s) {
    struct mixer *m = s->mixer;
    for (int c = 0; c < COUNTERS; c++)
        for (int n = 0; n < CONTEXTS; n++)
            for (int k = 0; k < NODES; k++) m->counters[c][n][k].one = 0.5;
    for (int n = 0; n < NODES; n++)
        for (int k = 0; k < EXPERTS; k++) {
            m->by_node[n][k] = FIRST_WEIGHT;
            for (int e = 0; e < SCALES; e++) m->by_scale[e][n][k] = FIRST_WEIGHT;
        }
    for (int n = 0; n < RUNS; n++) s->runs[n].one = 0.5;
}

static struct state *state_new(struct slab *b, int decoding) {
    struct state *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->slab = b;
    s->width = b->columns + 2 * MARGIN;
    s->error_width = b->columns + ERROR_COLUMNS;
    s->plane_size = (b->rows + 2 * MARGIN) * s->width;
    s->error_size = (b->rows + ERROR_ROWS) * s->error_width * EXPERTS;
    s->ring = b->period ? b->period + 1 : 3;
    s->blocks = (b->columns + BLOCK - 1) / BLOCK;
    int64_t block_rows = (b->rows + BLOCK - 1) / BLOCK;
    s->mixer = calloc(1, sizeof *s->mixer);
    s->planes = calloc((size_t)(s->ring * s->plane_size), sizeof *s->planes);
    s->errors = calloc((size_t)(2 * s->error_size), sizeof *s->errors);
    s->row_sums = calloc((size_t)(s->blocks * PACKED), sizeof *s->row_sums);
    s->block_sums = calloc((size_t)(block_rows * s->blocks * PACKED), sizeof *s->block_sums);
    if (!s->mixer || !s->planes || !s->errors || !s->row_sums || !s->block_sums) {
        state_free(s);
        return NULL;
    }
    first_beliefs(s);
    begin_bits(&s->bits, b, decoding);
    return s;
}

#endif
