/* The context model of a level on one tile of one scan. */
#ifndef DEEPSTD_CONTEXT_H
#define DEEPSTD_CONTEXT_H

#include "convolution.h"
#include "features.h"

struct model {
    const struct layer *trunk;       /* [4] */
    const struct layer *known;       /* [passes - 1] */
    const struct layer *mix, *head;  /* [passes] */
    int32_t passes, bands, width, has_template;
};

/* A grid of activations, channels innermost, with slack behind it. */
struct buffer {
    int16_t *data;
    int64_t n[3];
    int64_t channels;
};

/* Positions of one pass of a tile: every second column of some rows. */
struct positions {
    int64_t *flat;               /* [count] in the flattened tile */
    int64_t *rows, *starts;      /* [row_count] */
    int32_t *counts;             /* [row_count] */
    int64_t count, row_count;
};

int buffer_new(struct buffer *b, const int64_t *n, int64_t channels);
int positions_new(struct positions *p, const int64_t *tile, int ndim, int pass);
void positions_free(struct positions *p);

/* Hidden activations of the window; the tile begins at `at` in them. */
int context_hidden(const struct model *m, const struct level *l, const struct tile *w,
                   struct buffer *hidden, int64_t *at);

/* Output of the head at the positions of a pass.
 *
 *     known: [tile + 2 on the level's axes][known channels], zero at the margins
 */
int context_output(const struct model *m, int ndim, int pass, const struct positions *p,
                   const struct tile *w, const struct buffer *hidden, const int64_t *at,
                   const struct buffer *known, struct buffer *output);

#endif
