/* A tile of a level and its part of a stream, pass by pass.
 *
 *     features -> hidden -+-> output of pass n -> expect -> encode | decode -> coefficients
 *                         +-- known <- features of coefficients <---------------+
 */
#include "passes.h"

#include <stdlib.h>
#include <string.h>

/* What encoding and decoding do with the passes of a tile. */
struct coder {
    struct encoder *encoder;     /* or NULL: decode */
    const struct targets *targets;
    struct decoder *decoder;
    const uint32_t *offset_edges;
    const uint8_t *next;
    const struct tables *tables;
};

struct outcome {
    double *values;              /* [bands][tile] units, zeros where there is no coefficient */
    int32_t *symbols;            /* [bands * tile] in coding order */
    int64_t count;               /* of symbols */
};

static int code_pass(const struct coder *c, struct expected *x, int bands, int pass) {
    if (c->encoder) return pass_encode(x, bands, pass, c->targets, c->encoder, c->tables);
    return pass_decode(x, bands, c->decoder, c->tables, c->offset_edges, c->next);
}

/* Write coefficients, their symbols, and their features into the grid with a margin. */
static void apply(const struct expected *x, const struct level *l, const int64_t *tile,
                  struct outcome *r, struct buffer *known) {
    int64_t size = tile[0] * tile[1] * tile[2], volume = l->ndim == 3;
    for (int64_t n = 0; n < x->count; n++) {
        double value = x->means[n] + x->units[n];
        r->values[x->places[n]] = value;
        r->symbols[r->count++] = (int32_t)x->symbols[n];
        if (!known) continue;
        int64_t band = x->places[n] / size, at = x->places[n] % size;
        int64_t i = at / (tile[1] * tile[2]) + volume, j = at / tile[2] % tile[1] + 1;
        int64_t k = at % tile[2] + 1;
        known->data[((i * known->n[1] + j) * known->n[2] + k) * known->channels + band] =
            (int16_t)signed_log(value);
    }
}

/* The template's coefficients of a tile, [bands][tile], or NULL where there is no gate. */
static int hint_of(const struct model *m, const struct level *l, const struct tile *w,
                   double **hint) {
    int64_t grid = l->grid[0] * l->grid[1] * l->grid[2];
    *hint = NULL;
    if (!m->has_template || !l->template_high) return OK;
    double *out = malloc((size_t)(m->bands * w->size[0] * w->size[1] * w->size[2]) * sizeof *out);
    if (!out) return OUT_OF_MEMORY;
    *hint = out;
    for (int b = 0; b < m->bands; b++)
        for (int64_t i = 0; i < w->size[0]; i++)
            for (int64_t j = 0; j < w->size[1]; j++, out += w->size[2])
                memcpy(out, l->template_high + b * grid +
                                ((i + w->tile_begin[0]) * l->grid[1] + j + w->tile_begin[1]) *
                                    l->grid[2] + w->tile_begin[2],
                       (size_t)w->size[2] * sizeof *out);
    return OK;
}

static int code_tile(const struct model *m, const struct level *l, const struct tile *w,
                     const struct coder *c, struct outcome *r) {
    int64_t at[3], size = w->size[0] * w->size[1] * w->size[2], padded[3];
    for (int a = 0; a < 3; a++) padded[a] = w->size[a] + 2 * (a >= 3 - l->ndim);
    struct buffer hidden = {0}, known = {0};
    struct expected x;
    double *hint;
    int result = expected_new(&x, m->bands * size);
    if (result == OK) result = buffer_new(&known, padded, 2 * ((m->bands + 1) / 2));
    if (hint_of(m, l, w, &hint) != OK) result = OUT_OF_MEMORY;
    if (result == OK) result = context_hidden(m, l, w, &hidden, at);
    for (int pass = 0; pass < m->passes && result == OK; pass++) {
        struct positions p;
        struct buffer output = {0};
        result = positions_new(&p, w->size, l->ndim, pass);
        if (result == OK)
            result = context_output(m, l->ndim, pass, &p, w, &hidden, at, &known, &output);
        if (result == OK) {
            pass_expect(&x, &output, &p, m->bands, size, w->mask, hint);
            result = code_pass(c, &x, m->bands, pass);
        }
        if (result == OK) apply(&x, l, w->size, r, pass + 1 < m->passes ? &known : NULL);
        positions_free(&p);
        free(output.data);
    }
    free(hidden.data);
    free(known.data);
    free(hint);
    expected_free(&x);
    return result;
}

API int tile_encode(const struct model *m, const struct level *l, const struct tile *w,
                    const struct targets *t, struct encoder *e,
                    const struct tables *tables, struct outcome *r) {
    struct coder c = {e, t, NULL, NULL, NULL, tables};
    return code_tile(m, l, w, &c, r);
}

API int tile_decode(const struct model *m, const struct level *l, const struct tile *w,
                    struct decoder *d, const struct tables *tables,
                    const uint32_t *offset_edges, const uint8_t *next, struct outcome *r) {
    struct coder c = {NULL, NULL, d, offset_edges, next, tables};
    return code_tile(m, l, w, &c, r);
}
