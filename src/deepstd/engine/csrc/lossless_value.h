/* A voxel's level as decisions: in the central interval? above it? in which step? where in it?
 *
 *     central interval: mean +- a fraction of the scale; steps double every second time
 */
#ifndef DEEPSTD_LOSSLESS_VALUE_H
#define DEEPSTD_LOSSLESS_VALUE_H

#include "lossless_mix.h"

enum { CENTRAL = 0, ABOVE = 1, STEP = 2, LAST_STEP = 12, WITHIN = 16 };

/* Levels from low to high that are still possible, and the experts' masses up to their edges. */
struct range {
    int64_t low, high;
    double below[EXPERTS], above[EXPERTS];
};

/* Half the width of the central interval: 3/16 of the scale. */
INLINE int64_t central(int scale) {
    int octave = (scale - 8) >> 1;
    if (octave < 0) return 0;
    return scale & 1 ? (INT64_C(17) << octave) >> 6 : (INT64_C(3) << octave) >> 4;
}

INLINE void keep(struct range *r, int upper, int64_t at, const double *mass) {
    if (upper) {
        r->low = at;
        memcpy(r->below, mass, sizeof r->below);
    } else {
        r->high = at - 1;
        memcpy(r->above, mass, sizeof r->above);
    }
}

/* Decide whether the level is `at` or above, and narrow the range; `flip`: 1 means below. */
INLINE int split(struct mixer *m, struct bits *b, const struct guess *g, struct range *r, int node,
                 int64_t at, int flip, int64_t level) {
    double mass[EXPERTS], one[EXPERTS], zero[EXPERTS];
    masses(g, (double)at - 0.5, mass);
    for (int k = 0; k < EXPERTS; k++) {
        double upper = r->above[k] - mass[k], lower = mass[k] - r->below[k];
        one[k] = flip ? lower : upper;
        zero[k] = flip ? upper : lower;
    }
    int bit = decide(m, b, g, node, one, zero, (level >= at) != flip);
    keep(r, bit != flip, at, mass);
    return bit;
}

/* Narrow the range to the central interval, or to one side of it; return 0, 1 below, 2 above. */
INLINE int centre(struct mixer *m, struct bits *b, const struct guess *g, struct range *r,
                  int64_t first, int64_t last, int64_t level) {
    double from[EXPERTS], to[EXPERTS], one[EXPERTS], zero[EXPERTS];
    if (first <= r->low && last >= r->high) return 0;
    masses(g, (double)first - 0.5, from);
    masses(g, (double)last + 0.5, to);
    for (int k = 0; k < EXPERTS; k++) {
        one[k] = to[k] - from[k];
        zero[k] = (r->above[k] - to[k]) + (from[k] - r->below[k]);
    }
    if (decide(m, b, g, CENTRAL, one, zero, level >= first && level <= last)) {
        keep(r, 1, first, from);
        keep(r, 0, last + 1, to);
        return 0;
    }
    int up = first <= r->low;
    if (!up && last < r->high) {
        for (int k = 0; k < EXPERTS; k++) {
            one[k] = r->above[k] - to[k];
            zero[k] = from[k] - r->below[k];
        }
        up = decide(m, b, g, ABOVE, one, zero, level > last);
    }
    if (up) keep(r, 1, last + 1, to);
    else keep(r, 0, first, from);
    return 1 + up;
}

/* Code a level from 0 to `most`; return it. */
INLINE int64_t code_level(struct mixer *m, struct bits *b, const struct guess *g, int64_t most,
                          int64_t level) {
    struct range r = {0, most, {0}, {0}};
    int64_t middle = (int64_t)floor(g->mean[EXPERTS - 1] + 0.5), half = central(g->scale);
    int64_t first = middle - half < 0 ? 0 : middle - half;
    int64_t last = middle + half > most ? most : middle + half;
    masses(g, -0.5, r.below);
    masses(g, (double)most + 0.5, r.above);
    int side = centre(m, b, g, &r, first, last, level), group = 0;
    if (side) {
        int up = side == 2, step = 0;
        for (;; step++) {
            int64_t width = (2 * half + 1) << (step >> 1);
            if (r.high - r.low < width) break;
            int node = STEP + step < LAST_STEP ? STEP + step : LAST_STEP;
            int64_t at = up ? r.low + width : r.high - width + 1;
            if (!split(m, b, g, &r, node, at, !up, level)) break;
        }
        group = 1 + (step < 3 ? step : 3);
    }
    for (int path = 1; r.low < r.high;) {
        int64_t at = r.low + (r.high - r.low + 1) / 2;
        int bit = split(m, b, g, &r, WITHIN + 8 * group + path % 8, at, 0, level);
        path = path < 4 ? 2 * path + bit : 8;
    }
    return r.low;
}

#endif
