/* The context model of a level, from features to the output of the head.
 *
 *     features -> first + condition -> second + condition + residual -> third -> fourth + residual
 *              -> hidden
 *     hidden + known -> mix + residual -> head -> output, at the positions of one pass alone
 *
 * Activations of sides that are no border of the level shrink by one position a layer.
 */
#include "context.h"

#include <stdlib.h>
#include <string.h>

#define HIDDEN_MAX 1023
#define OUTPUT_MAX 8191

int buffer_new(struct buffer *b, const int64_t *n, int64_t channels) {
    memcpy(b->n, n, sizeof b->n);
    b->channels = channels;
    size_t size = (size_t)(n[0] * n[1] * n[2] + 2 * SLACK) * (size_t)channels;
    b->data = calloc(size, sizeof *b->data);
    return b->data ? OK : OUT_OF_MEMORY;
}

static int64_t offset_of(const struct buffer *b, int64_t i, int64_t j, int64_t k) {
    return ((i * b->n[1] + j) * b->n[2] + k) * b->channels;
}

/* Element offsets of a kernel of 3 x 3 (x 3) taps in a grid, or of a single tap. */
static void taps_of(int tap_count, const struct buffer *b, int64_t *taps) {
    int n = 0, volume = tap_count == 27, wide = tap_count > 1;
    for (int i = 0; i < 1 + 2 * volume; i++)
        for (int j = 0; j < 1 + 2 * wide; j++)
            for (int k = 0; k < 1 + 2 * wide; k++) taps[n++] = offset_of(b, i, j, k);
}

/* Where rows of positions are, with one allocation for all. */
struct places { int64_t *input, *residual, *output; int32_t *counts; };

static int places_new(struct places *p, int64_t rows) {
    size_t room = (size_t)(rows ? rows : 1);
    p->input = malloc(room * (3 * sizeof(int64_t) + sizeof(int32_t)));
    if (!p->input) return OUT_OF_MEMORY;
    p->residual = p->input + room;
    p->output = p->residual + room;
    p->counts = (int32_t *)(p->output + room);
    return OK;
}

/* Convolve `made` positions of a padded grid, and add a part of another grid.
 *
 *     begin: where the result begins in `output`; residual_begin: where that part begins
 */
static int convolve_grid(const struct tile *w, const struct layer *layer,
                         const struct buffer *input, const int64_t *made, struct buffer *output,
                         const int64_t *begin, const struct buffer *residual,
                         const int64_t *residual_begin, const int32_t *extra) {
    int64_t taps[27], rows = made[0] * made[1];
    struct places at;
    if (places_new(&at, rows)) return OUT_OF_MEMORY;
    for (int64_t row = 0; row < rows; row++) {
        int64_t i = row / made[1], j = row % made[1];
        at.input[row] = offset_of(input, i, j, 0);
        at.output[row] = offset_of(output, begin[0] + i, begin[1] + j, begin[2]);
        if (residual)
            at.residual[row] = offset_of(residual, residual_begin[0] + i, residual_begin[1] + j,
                                         residual_begin[2]);
        at.counts[row] = (int32_t)made[2];
    }
    struct layer own = *layer;
    taps_of(own.tap_count, input, taps);
    own.taps = taps;
    own.extra = extra;
    own.low = 0;
    own.high = HIDDEN_MAX;
    struct rows r = {input->data, residual ? residual->data : NULL, output->data, at.input,
                     at.residual, at.output, at.counts, input->channels,
                     residual ? residual->channels : 0, output->channels, rows};
    convolve_shared(&own, &r, w->threads);
    free(at.input);
    return OK;
}

/* One layer of the trunk: its result is padded on borders, unless it is the last one. */
static int trunk_layer(const struct model *m, int number, const struct tile *w, int ndim,
                       const struct buffer *input, struct buffer *output,
                       const struct buffer *residual, int margin, const int32_t *extra) {
    int64_t made[3], size[3], begin[3], residual_begin[3];
    for (int a = 0; a < 3; a++) {
        int real = a >= 3 - ndim;
        made[a] = input->n[a] - 2 * real;
        int before = number < 3 && w->begins[a], after = number < 3 && w->ends[a];
        size[a] = made[a] + before + after;
        begin[a] = before;
        residual_begin[a] = !real ? 0 : w->begins[a] ? 1 : margin;
    }
    if (buffer_new(output, size, m->width)) return OUT_OF_MEMORY;
    return convolve_grid(w, m->trunk + number, input, made, output, begin, residual,
                         residual_begin, extra);
}

int context_hidden(const struct model *m, const struct level *l, const struct tile *w,
                   struct buffer *hidden, int64_t *at) {
    struct buffer x[5] = {{0}};
    int64_t size[3];
    for (int a = 0; a < 3; a++) {
        size[a] = w->end[a] - w->begin[a] + w->begins[a] + w->ends[a];
        int cut = a >= 3 - l->ndim && !w->begins[a] ? 4 : 0;
        at[a] = w->tile_begin[a] - w->begin[a] - cut;
    }
    int result = buffer_new(&x[0], size, 2 * m->trunk[0].pairs);
    if (result == OK) result = write_features(l, w, (int)x[0].channels, x[0].data);
    if (result == OK) result = trunk_layer(m, 0, w, l->ndim, &x[0], &x[1], NULL, 0, l->first);
    if (result == OK) result = trunk_layer(m, 1, w, l->ndim, &x[1], &x[2], &x[1], 1, l->second);
    if (result == OK) result = trunk_layer(m, 2, w, l->ndim, &x[2], &x[3], NULL, 0, NULL);
    if (result == OK) result = trunk_layer(m, 3, w, l->ndim, &x[3], &x[4], &x[2], 2, NULL);
    for (int n = 0; n < 4; n++) free(x[n].data);
    *hidden = x[4];
    return result;
}

int positions_new(struct positions *p, const int64_t *tile, int ndim, int pass) {
    int64_t rows = tile[0] * tile[1];
    size_t size = (size_t)(rows * tile[2]);
    memset(p, 0, sizeof *p);
    p->flat = malloc((size + 1) * sizeof *p->flat);
    p->rows = malloc((size_t)(2 * rows + 1) * sizeof *p->rows);
    p->counts = malloc((size_t)(rows + 1) * sizeof *p->counts);
    if (!p->flat || !p->rows || !p->counts) return OUT_OF_MEMORY;
    p->starts = p->rows + rows;
    for (int64_t row = 0; row < rows; row++) {
        int64_t parity = (row / tile[1] + row % tile[1]) & 1, start;
        if (ndim == 3) {
            start = (pass + parity) & 1;
        } else if (pass < 2) {
            if (parity != pass) continue;
            start = parity;
        } else {
            start = 1 - parity;
        }
        if (start >= tile[2]) continue;
        p->rows[p->row_count] = row;
        p->starts[p->row_count] = start;
        p->counts[p->row_count++] = (int32_t)((tile[2] - start + 1) / 2);
        for (int64_t k = start; k < tile[2]; k += 2) p->flat[p->count++] = row * tile[2] + k;
    }
    return OK;
}

void positions_free(struct positions *p) {
    free(p->flat);
    free(p->rows);
    free(p->counts);
}

/* The hidden activations at the positions of a pass, and what is known around them. */
static int gather(const struct model *m, int ndim, int pass, const struct positions *p,
                  const struct tile *w, const struct buffer *hidden, const int64_t *at,
                  const struct buffer *known, struct buffer *x) {
    const int64_t *tile = w->size;
    struct places places;
    if (places_new(&places, p->row_count)) return OUT_OF_MEMORY;
    int64_t packed = 0;
    for (int64_t n = 0; n < p->row_count; n++) {
        int64_t i = p->rows[n] / tile[1], j = p->rows[n] % tile[1], k = p->starts[n];
        places.residual[n] = offset_of(hidden, at[0] + i, at[1] + j, at[2] + k);
        places.input[n] = offset_of(known, i, j, k);
        places.output[n] = packed * m->width;
        packed += p->counts[n];
    }
    if (pass) {
        int64_t taps[27];
        struct layer own = m->known[pass - 1];
        taps_of(ndim == 3 ? 27 : 9, known, taps);
        own.taps = taps;
        own.extra = NULL;
        own.low = 0;
        own.high = HIDDEN_MAX;
        struct rows r = {known->data, hidden->data, x->data, places.input, places.residual,
                         places.output, p->counts, 2 * known->channels, 2 * hidden->channels,
                         m->width, p->row_count};
        convolve_shared(&own, &r, w->threads);
    } else {
        for (int64_t n = 0; n < p->row_count; n++)
            for (int32_t c = 0; c < p->counts[n]; c++)
                memcpy(x->data + places.output[n] + c * m->width,
                       hidden->data + places.residual[n] + 2 * c * hidden->channels,
                       (size_t)m->width * sizeof *x->data);
    }
    free(places.input);
    return OK;
}

/* A 1 x 1 layer on packed positions, in pieces that threads can share. */
static int pointwise(const struct tile *w, const struct layer *layer, const struct buffer *x,
                     struct buffer *output, int residual) {
    int64_t pieces = w->threads < 1 ? 1 : w->threads, zero = 0, count = x->n[2];
    struct places at;
    if (places_new(&at, pieces)) return OUT_OF_MEMORY;
    for (int64_t n = 0; n < pieces; n++) {
        int64_t begin = count * n / pieces;
        at.input[n] = begin * x->channels;
        at.output[n] = begin * output->channels;
        at.counts[n] = (int32_t)(count * (n + 1) / pieces - begin);
    }
    struct layer own = *layer;
    own.taps = &zero;
    own.extra = NULL;
    own.low = residual ? 0 : -OUTPUT_MAX;
    own.high = residual ? HIDDEN_MAX : OUTPUT_MAX;
    struct rows r = {x->data, residual ? x->data : NULL, output->data, at.input, at.input,
                     at.output, at.counts, x->channels, x->channels, output->channels, pieces};
    convolve_shared(&own, &r, w->threads);
    free(at.input);
    return OK;
}

int context_output(const struct model *m, int ndim, int pass, const struct positions *p,
                   const struct tile *w, const struct buffer *hidden, const int64_t *at,
                   const struct buffer *known, struct buffer *output) {
    int64_t size[3] = {1, 1, p->count};
    struct buffer x = {0}, mixed = {0};
    int result = buffer_new(&x, size, m->width);
    if (result == OK) result = buffer_new(&mixed, size, m->width);
    if (result == OK) result = gather(m, ndim, pass, p, w, hidden, at, known, &x);
    if (result == OK) result = pointwise(w, m->mix + pass, &x, &mixed, 1);
    if (result == OK) result = buffer_new(output, size, m->head[pass].outputs);
    if (result == OK) result = pointwise(w, m->head + pass, &mixed, output, 0);
    free(x.data);
    free(mixed.data);
    return result;
}
