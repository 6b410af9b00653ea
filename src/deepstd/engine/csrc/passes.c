/* One pass of a tile: from the model's output to coefficients.
 *
 *     head output -> expect -> means, scale indices
 *     encode:  targets - means -> plain quantiser -> offsets of bands -> trellis -> symbols, units
 *     decode:  offsets of bands -> arrangement -> symbols -> units
 *
 * Values are whole numbers of the fixed-point unit, held in doubles; a unit is 1/64 step.
 */
#include "passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUANTIZERS 3
#define UNITS_PER_STEP 64.0
#define MEAN_UNITS 4.0         /* means are in sixteenths of a step */
#define CENTRE_INDEX 20
#define GATE_ONE 16
#define LARGEST_PLAIN 24       /* magnitudes beyond share one entry of the savings */
#define FIRST_WALKED 8         /* symbols of smaller scale index are left to the plain quantiser */
#define FEWEST_WALKED 128
#define LONGEST_LANE 128
#define TRELLIS_SPACING 0.625  /* of the points of both coarse quantisers together, in steps */

static int clamp_index(int index) {
    return index < 0 ? 0 : index >= SCALES ? SCALES - 1 : index;
}

int expected_new(struct expected *x, int64_t room) {
    size_t size = (size_t)(room ? room : 1);
    memset(x, 0, sizeof *x);
    x->means = malloc(size * sizeof *x->means);
    x->units = malloc(size * sizeof *x->units);
    x->scales = malloc(size);
    x->places = malloc(size * sizeof *x->places);
    x->symbols = malloc(size * sizeof *x->symbols);
    return x->means && x->units && x->scales && x->places && x->symbols ? OK : OUT_OF_MEMORY;
}

void expected_free(struct expected *x) {
    free(x->means);
    free(x->units);
    free(x->scales);
    free(x->places);
    free(x->symbols);
}

void pass_expect(struct expected *x, const struct buffer *output, const struct positions *p,
                 int bands, int64_t size, const uint8_t *mask, const double *hint) {
    int64_t n = 0;
    for (int b = 0; b < bands; b++) {
        int64_t before = n;
        for (int64_t i = 0; i < p->count; i++) {
            int64_t place = b * size + p->flat[i];
            if (!mask[place]) continue;
            const int16_t *o = output->data + i * output->channels + b;
            double mean = MEAN_UNITS * o[0];
            if (hint) {
                int gate = ((o[2 * bands] + 1) >> 1) + GATE_ONE / 2;
                gate = gate < 0 ? 0 : gate > GATE_ONE ? GATE_ONE : gate;
                mean += floor(gate * hint[place] * (1.0 / GATE_ONE) + 0.5);
            }
            x->means[n] = mean;
            x->scales[n] = (uint8_t)clamp_index(((o[bands] + 1) >> 1) + CENTRE_INDEX);
            x->places[n++] = place;
        }
        x->counts[b] = n - before;
    }
    x->count = n;
}

/* Order of a pass: plain symbols as they come, then the walked ones by ascending scale.
 *
 * Returns how many are plain.
 */
static int64_t arrange(const uint8_t *scales, int64_t count, int64_t *order) {
    int64_t next[SCALES + 1] = {0}, large = 0, plain = 0;
    for (int64_t n = 0; n < count; n++) large += scales[n] >= FIRST_WALKED;
    int first = large < FEWEST_WALKED ? SCALES : FIRST_WALKED;
    for (int64_t n = 0; n < count; n++)
        if (scales[n] < first) order[plain++] = n;
        else next[scales[n] + 1]++;
    next[0] = plain;
    for (int s = 0; s < SCALES; s++) next[s + 1] += next[s];
    for (int64_t n = 0; n < count; n++)
        if (scales[n] >= first) order[next[scales[n]]++] = n;
    return plain;
}

static size_t lanes_of(int64_t walked) {
    size_t lanes = (size_t)((walked + LONGEST_LANE - 1) / LONGEST_LANE);
    return lanes ? lanes : 1;
}

static double units_of(int64_t symbol, int quantizer) {
    if (quantizer == 0) return (double)symbol * UNITS_PER_STEP;
    int64_t value = 2 * symbol;
    if (quantizer == 2) value -= (symbol > 0) - (symbol < 0);
    return (double)value * (TRELLIS_SPACING * UNITS_PER_STEP);
}

struct gathered {
    int64_t *order, *symbols;
    uint8_t *scales, *quantizers, *kinds;
};

static int gather(struct gathered *g, const uint8_t *scales, int64_t count, int64_t *plain) {
    size_t room = count ? (size_t)count : 1;
    g->order = malloc(room * sizeof *g->order);
    g->symbols = malloc(room * sizeof *g->symbols);
    g->scales = malloc(room);
    g->quantizers = calloc(room, 1);
    g->kinds = malloc(room);
    if (!g->order || !g->symbols || !g->scales || !g->quantizers || !g->kinds)
        return OUT_OF_MEMORY;
    *plain = arrange(scales, count, g->order);
    for (int64_t n = 0; n < count; n++) g->scales[n] = scales[g->order[n]];
    return OK;
}

static void scatter(const struct gathered *g, int64_t count, int64_t *symbols, double *units) {
    for (int64_t n = 0; n < count; n++) {
        symbols[g->order[n]] = g->symbols[n];
        units[g->order[n]] = units_of(g->symbols[n], g->quantizers[n]);
    }
}

static void release(struct gathered *g) {
    free(g->order);
    free(g->symbols);
    free(g->scales);
    free(g->quantizers);
    free(g->kinds);
}

/* Shift the scale indices of a band by its offset. */
static void shift(uint8_t *scales, int64_t count, int offset) {
    for (int64_t n = 0; n < count; n++) scales[n] = (uint8_t)clamp_index(scales[n] + offset);
}

int pass_decode(struct expected *x, int bands, struct decoder *d, const struct tables *tables,
                const uint32_t *offset_edges, const uint8_t *next) {
    int offsets[MOST_BANDS];
    int64_t done = 0, plain = 0, count = x->count;
    for (int b = 0; b < bands; b++) {
        int entry = LARGEST_OFFSET;
        if (x->counts[b] >= FEWEST_WITH_OFFSET) entry = decoder_get(d, offset_edges, OFFSETS);
        if (entry < 0) return entry;
        offsets[b] = entry - LARGEST_OFFSET;
    }
    for (int b = 0; b < bands; done += x->counts[b++])
        shift(x->scales + done, x->counts[b], offsets[b]);
    struct gathered g;
    int result = gather(&g, x->scales, count, &plain);
    if (result == OK) {
        for (int64_t n = 0; n < plain; n++) g.kinds[n] = (uint8_t)(g.scales[n] * QUANTIZERS);
        result = decoder_decode(d, tables, g.kinds, (size_t)plain, g.symbols);
    }
    if (result == OK && plain < count)
        result = decoder_walk(d, tables, g.scales + plain, (size_t)(count - plain),
                              lanes_of(count - plain), next, g.symbols + plain,
                              g.quantizers + plain);
    if (result == OK) scatter(&g, count, x->symbols, x->units);
    release(&g);
    return result;
}

/* The plain quantiser's symbols; `weights` are those of each. */
static void quantize(const double *aims, const uint8_t *scales, int64_t count,
                     const float *savings, const float *weights, int64_t *symbols) {
    for (int64_t n = 0; n < count; n++) {
        double magnitude = fabs(aims[n]), nearest = floor(magnitude + 0.5);
        int entry = nearest < LARGEST_PLAIN + 1 ? (int)nearest : LARGEST_PLAIN + 1;
        float price = weights[n] * savings[scales[n] * (LARGEST_PLAIN + 2) + entry];
        double worse = 2.0 * (magnitude - nearest) + 1.0;
        int64_t symbol = (int64_t)nearest - (worse < (double)price);
        symbols[n] = aims[n] < 0 ? -symbol : aims[n] > 0 ? symbol : 0;
    }
}

/* Choose the offsets of all bands, write them, and quantise again where one is not 0. */
static int choose_offsets(struct expected *x, int bands, const struct targets *t,
                          const float *weights, const double *aims, struct encoder *e) {
    int32_t *room = malloc(SCALES * CLASSES * sizeof *room);
    if (!room) return OUT_OF_MEMORY;
    int result = OK;
    int64_t first = 0;
    for (int b = 0; b < bands && result == OK; first += x->counts[b++]) {
        if (x->counts[b] < FEWEST_WITH_OFFSET) continue;
        int64_t *symbols = x->symbols + first;
        uint8_t *scales = x->scales + first;
        int offset = best_offset(&t->offsets, symbols, scales, x->counts[b], room);
        const uint32_t *edges = t->offsets.cumulative + offset + LARGEST_OFFSET;
        result = encoder_put(e, edges[0], edges[1] - edges[0]);
        if (!offset) continue;
        shift(scales, x->counts[b], offset);
        quantize(aims + first, scales, x->counts[b], t->savings, weights + first, symbols);
    }
    free(room);
    return result;
}

/* Write a pass whose plain symbols and shifted scale indices are known. */
static int write_pass(struct expected *x, const double *aims, const struct targets *t,
                      const float *weights, struct encoder *e, const struct tables *tables) {
    struct gathered g;
    int64_t plain = 0, count = x->count;
    int result = gather(&g, x->scales, count, &plain);
    size_t room = count ? (size_t)count : 1;
    double *points = malloc(room * sizeof *points);
    float *ordered = malloc(room * sizeof *ordered);
    if (!points || !ordered) result = OUT_OF_MEMORY;
    if (result == OK) {
        for (int64_t n = 0; n < plain; n++) {
            g.symbols[n] = x->symbols[g.order[n]];
            g.kinds[n] = (uint8_t)(g.scales[n] * QUANTIZERS);
        }
        result = encoder_encode(e, tables, g.symbols, g.kinds, (size_t)plain, 0);
    }
    if (result == OK && plain < count) {
        size_t walked = (size_t)(count - plain), lanes = lanes_of(count - plain);
        for (int64_t n = plain; n < count; n++) {
            points[n] = aims[g.order[n]] / TRELLIS_SPACING;
            ordered[n] = weights[g.order[n]];
        }
        result = trellis_search(points + plain, g.scales + plain, walked, lanes, t->bits,
                                ordered + plain, t->before, t->taken, g.symbols + plain,
                                g.quantizers + plain);
        for (int64_t n = plain; n < count; n++)
            g.kinds[n] = (uint8_t)(g.scales[n] * QUANTIZERS + g.quantizers[n]);
        if (result == OK)
            result = encoder_encode(e, tables, g.symbols + plain, g.kinds + plain, walked, lanes);
    }
    if (result == OK) scatter(&g, count, x->symbols, x->units);
    free(points);
    free(ordered);
    release(&g);
    return result;
}

/* Weights of a pass's symbols: the pass's own, times the price of each place. */
static void price(const struct expected *x, const struct targets *t, float weight, float *out) {
    for (int64_t n = 0; n < x->count; n++)
        out[n] = t->prices ? weight * t->prices[x->places[n]] : weight;
}

int pass_encode(struct expected *x, int bands, int pass, const struct targets *t,
                struct encoder *e, const struct tables *tables) {
    size_t room = (size_t)(x->count ? x->count : 1);
    double *residuals = malloc(room * sizeof *residuals), *aims = malloc(room * sizeof *aims);
    float *weights = malloc(room * sizeof *weights);
    int result = residuals && aims && weights ? OK : OUT_OF_MEMORY;
    for (int64_t n = 0; n < x->count && result == OK; n++) {
        int64_t place = x->places[n];
        residuals[n] = (t->values[place] * t->factor - x->means[n]) * (1.0 / UNITS_PER_STEP);
        aims[n] = t->corrections ? residuals[n] + (double)t->corrections[place] : residuals[n];
    }
    if (result == OK) {
        price(x, t, t->weights[pass], weights);
        quantize(aims, x->scales, x->count, t->savings, weights, x->symbols);
        result = choose_offsets(x, bands, t, weights, aims, e);
    }
    if (result == OK) {
        price(x, t, t->spacing_weights[pass], weights);
        result = write_pass(x, aims, t, weights, e, tables);
    }
    for (int64_t n = 0; n < x->count && result == OK && t->errors; n++)
        t->errors[x->places[n]] = (float)(x->units[n] * (1.0 / UNITS_PER_STEP) - residuals[n]);
    free(residuals);
    free(aims);
    free(weights);
    return result;
}
