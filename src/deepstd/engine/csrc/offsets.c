/* Offsets to the scale indices of a band: the ones that code its symbols in the fewest bits.
 *
 *     symbols, scale indices -> counts of (scale index, class of magnitude) -> bits by offset
 *
 * Bits are whole numbers, so their sums do not depend on an order.
 */
#include "passes.h"

#include <stdlib.h>
#include <string.h>

static int class_of(int64_t symbol, const int64_t *edges) {
    int64_t magnitude = symbol < 0 ? -symbol : symbol;
    if (magnitude < SMALL_CLASSES) return (int)magnitude;
    int class = SMALL_CLASSES;
    while (class < CLASSES - 1 && magnitude >= edges[class - SMALL_CLASSES]) class++;
    return class;
}

int best_offset(const struct offsets *o, const int64_t *symbols, const uint8_t *scales,
                int64_t count, int32_t *counts) {
    int64_t bits[OFFSETS];
    memcpy(bits, o->own, sizeof bits);
    memset(counts, 0, SCALES * CLASSES * sizeof *counts);
    for (int64_t n = 0; n < count; n++)
        counts[scales[n] * CLASSES + class_of(symbols[n], o->edges)]++;
    for (int cell = 0; cell < SCALES * CLASSES; cell++)
        for (int k = 0; counts[cell] && k < OFFSETS; k++)
            bits[k] += counts[cell] * o->bits[cell * OFFSETS + k];
    int best = 0;
    for (int k = 1; k < OFFSETS; k++)
        if (bits[k] < bits[best]) best = k;
    return best - LARGEST_OFFSET;
}
