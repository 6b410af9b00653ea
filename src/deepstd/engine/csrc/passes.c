/* One pass of a tile: from the model's output to coefficients, without a Python loop.
 *
 *     head output -> expect -> means, scale indices
 *     decode:  scale indices -> offsets, arrangement -> symbols -> units
 *     encode:  targets - means -> plain quantiser -> trial; arrangement, trellis -> symbols -> units
 *     means + units -> apply -> coefficients, and their features for the passes to come
 *
 * Values are whole numbers of the fixed-point unit, held in doubles; a unit is 1/64 step.
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCALES 64
#define QUANTIZERS 3
#define UNITS_PER_STEP 64.0
#define MEAN_UNITS 4.0         /* means are in sixteenths of a step */
#define CENTRE_INDEX 20
#define GATE_ONE 16
#define LARGEST_PLAIN 24       /* magnitudes beyond share one entry of the savings */
#define FIRST_WALKED 8         /* symbols of smaller scale index are left to the plain quantiser */
#define FEWEST_WALKED 128
#define LONGEST_LANE 128
#define FEWEST_WITH_OFFSET 256 /* a band of fewer symbols in a pass has no offset */
#define LARGEST_OFFSET 4
#define OFFSETS (2 * LARGEST_OFFSET + 1)
#define TRELLIS_SPACING 0.625  /* of the points of both coarse quantisers together, in steps */

static int clamp_index(int index) {
    return index < 0 ? 0 : index >= SCALES ? SCALES - 1 : index;
}

/* Means and scale indices of the coefficients that a pass codes, band by band.
 *
 *     output:   [count][parts * bands] of the head, parts = 2, or 3 with a gate
 *     flat:     [count] positions in the tile
 *     mask:     [bands][size] which coefficients there are
 *     hint:     [bands][size] what the gate lets through, or NULL
 * Returns how many coefficients there are; counts[bands] says how many of each band.
 */
API int64_t pass_expect(const int16_t *output, const int64_t *flat, int64_t count, int bands,
                        int64_t size, const uint8_t *mask, const double *hint, double *means,
                        uint8_t *scales, int64_t *places, int64_t *counts) {
    int parts = hint ? 3 : 2;
    int64_t n = 0;
    for (int b = 0; b < bands; b++) {
        int64_t before = n;
        for (int64_t i = 0; i < count; i++) {
            int64_t place = b * size + flat[i];
            if (!mask[place]) continue;
            const int16_t *o = output + i * parts * bands + b;
            double mean = MEAN_UNITS * o[0];
            if (hint) {
                int gate = ((o[2 * bands] + 1) >> 1) + GATE_ONE / 2;
                gate = gate < 0 ? 0 : gate > GATE_ONE ? GATE_ONE : gate;
                mean += floor(gate * hint[place] * (1.0 / GATE_ONE) + 0.5);
            }
            means[n] = mean;
            scales[n] = (uint8_t)clamp_index(((o[bands] + 1) >> 1) + CENTRE_INDEX);
            places[n++] = place;
        }
        counts[b] = n - before;
    }
    return n;
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

/* Decode a pass: offsets, symbols, and the units that they stand for. */
API int decoder_pass(struct decoder *d, const struct tables *t, const uint32_t *offset_edges,
                     const uint8_t *next, uint8_t *scales, const int64_t *counts, int bands,
                     int64_t *symbols, double *units) {
    int offsets[32];
    int64_t count = 0, plain = 0;
    for (int b = 0; b < bands; b++) {
        int entry = LARGEST_OFFSET;
        if (counts[b] >= FEWEST_WITH_OFFSET) entry = decoder_get(d, offset_edges, OFFSETS);
        if (entry < 0) return entry;
        offsets[b] = entry - LARGEST_OFFSET;
    }
    for (int b = 0; b < bands; b++) {
        shift(scales + count, counts[b], offsets[b]);
        count += counts[b];
    }
    struct gathered g;
    int result = gather(&g, scales, count, &plain);
    if (result == OK) {
        for (int64_t n = 0; n < plain; n++) g.kinds[n] = (uint8_t)(g.scales[n] * QUANTIZERS);
        result = decoder_decode(d, t, g.kinds, (size_t)plain, g.symbols);
    }
    if (result == OK && plain < count)
        result = decoder_walk(d, t, g.scales + plain, (size_t)(count - plain),
                              lanes_of(count - plain), next, g.symbols + plain,
                              g.quantizers + plain);
    if (result == OK) scatter(&g, count, symbols, units);
    release(&g);
    return result;
}

/* Residuals in steps, what to aim at, and the plain quantiser's symbols.
 *
 *     targets:     normalised coefficients, at places; factor: units a normalised value
 *     corrections: added to the residuals, at places, or NULL
 *     savings:     [64][26] bits that the next smaller magnitude saves
 */
API void pass_quantize(const double *targets, double factor, const float *corrections,
                       const double *means, const uint8_t *scales, const int64_t *places,
                       int64_t count, const float *savings, float weight, double *residuals,
                       double *aims, int64_t *symbols) {
    for (int64_t n = 0; n < count; n++) {
        residuals[n] = (targets[places[n]] * factor - means[n]) * (1.0 / UNITS_PER_STEP);
        aims[n] = corrections ? residuals[n] + (double)corrections[places[n]] : residuals[n];
    }
    pass_requantize(aims, scales, count, savings, weight, symbols);
}

/* The plain quantiser's symbols with other scale indices. */
API void pass_requantize(const double *aims, const uint8_t *scales, int64_t count,
                         const float *savings, float weight, int64_t *symbols) {
    for (int64_t n = 0; n < count; n++) {
        double magnitude = fabs(aims[n]), nearest = floor(magnitude + 0.5);
        int entry = nearest < LARGEST_PLAIN + 1 ? (int)nearest : LARGEST_PLAIN + 1;
        float price = weight * savings[scales[n] * (LARGEST_PLAIN + 2) + entry];
        double worse = 2.0 * (magnitude - nearest) + 1.0;
        int64_t symbol = (int64_t)nearest - (worse < (double)price);
        symbols[n] = aims[n] < 0 ? -symbol : aims[n] > 0 ? symbol : 0;
    }
}

/* Encode a pass whose plain symbols and shifted scale indices are known.
 *
 *     bits, spacing_weight, before, taken: of trellis_search
 */
API int encoder_pass(struct encoder *e, const struct tables *t, const double *aims,
                     const uint8_t *scales, int64_t count, const float *bits,
                     float spacing_weight, const uint8_t *before, const uint8_t *taken,
                     int64_t *symbols, double *units) {
    struct gathered g;
    int64_t plain = 0;
    int result = gather(&g, scales, count, &plain);
    double *points = malloc((count ? (size_t)count : 1) * sizeof *points);
    if (!points) result = OUT_OF_MEMORY;
    if (result == OK) {
        for (int64_t n = 0; n < plain; n++) {
            g.symbols[n] = symbols[g.order[n]];
            g.kinds[n] = (uint8_t)(g.scales[n] * QUANTIZERS);
        }
        result = encoder_encode(e, t, g.symbols, g.kinds, (size_t)plain, 0);
    }
    if (result == OK && plain < count) {
        size_t walked = (size_t)(count - plain), lanes = lanes_of(count - plain);
        for (int64_t n = plain; n < count; n++) points[n] = aims[g.order[n]] / TRELLIS_SPACING;
        result = trellis_search(points + plain, g.scales + plain, walked, lanes, bits,
                                spacing_weight, before, taken, g.symbols + plain,
                                g.quantizers + plain);
        for (int64_t n = plain; n < count; n++)
            g.kinds[n] = (uint8_t)(g.scales[n] * QUANTIZERS + g.quantizers[n]);
        if (result == OK)
            result = encoder_encode(e, t, g.symbols + plain, g.kinds + plain, walked, lanes);
    }
    if (result == OK) scatter(&g, count, symbols, units);
    free(points);
    release(&g);
    return result;
}

/* sign(x) round(8 log2(1 + |x| / 16)), at most 127, by comparison with [127] thresholds. */
static int signed_log(double x, const double *thresholds) {
    double magnitude = floor(fabs(x) * (1.0 / 16.0));
    int low = 0, high = 127;
    while (low < high) {
        int middle = (low + high) / 2;
        if (thresholds[middle] <= magnitude) low = middle + 1;
        else high = middle;
    }
    return x < 0 ? -low : low;
}

/* Write coefficients into [bands][size], and their features into a padded grid.
 *
 *     known_at: [size] element offset of a position's channels in `known`
 */
API void pass_apply(const double *means, const double *units, const int64_t *places, int64_t count,
                    int64_t size, const double *thresholds, const int64_t *known_at,
                    double *values, int16_t *known) {
    for (int64_t n = 0; n < count; n++) {
        double value = means[n] + units[n];
        values[places[n]] = value;
        if (known) {
            int64_t band = places[n] / size;
            known[known_at[places[n] % size] + band] = (int16_t)signed_log(value, thresholds);
        }
    }
}
