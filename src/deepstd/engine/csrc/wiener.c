/* Adaptive loop (Wiener) filter of a frame, a run of voxels in a row at a time.
 *
 *     neighbours - voxel, clipped, of opposite pairs -+-> sums by the coefficients of each knot -+
 *                                                     +-> activity -> weights of the knots ------+
 *                                                                           + voxel -> filtered <-+
 */
#include "engine.h"

#include <math.h>

#define RUN 128
#define MOST_PAIRS 12

/* Axes are three; the first of an image has one voxel. */
struct wiener {
    int64_t shape[3];
    const float *values;       /* [shape] steps */
    float *filtered;           /* [shape] steps */
    const int64_t *offsets;    /* [pairs][3] of one neighbour of each pair*/
    const float *coefficients; /* [knots][pairs] */
    float bound;               /* of a difference, in steps */
    float floor, codes;        /* place of an activity: codes an octave of activity + floor, */
    float lowest, apart;       /* less the lowest, times knots a code */
    int32_t pairs, knots, threads;
};

static int64_t clamped(int64_t at, int64_t length) {
    return at < 0 ? 0 : at >= length ? length - 1 : at;
}

/* Neighbours of a run of voxels; beyond the frame, whose border is repeated, they are copied. */
static const float *neighbours(const struct wiener *w, int64_t i, int64_t j, int64_t from,
                               int count, const int64_t *offset, int sign, float *copy) {
    const int64_t *n = w->shape;
    const float *row = w->values + (clamped(i + sign * offset[0], n[0]) * n[1] +
                                    clamped(j + sign * offset[1], n[1])) * n[2];
    int64_t first = from + sign * offset[2];
    if (first >= 0 && first + count <= n[2]) return row + first;
    for (int c = 0; c < count; c++) copy[c] = row[clamped(first + c, n[2])];
    return copy;
}

static float clipped(float v, float bound) {
    v = v < -bound ? -bound : v;
    return v > bound ? bound : v;
}

static void filter_run(const struct wiener *w, int64_t i, int64_t j, int64_t from, int count) {
    float differences[MOST_PAIRS][RUN], squares[RUN] = {0}, change[RUN] = {0};
    float ahead[RUN], behind[RUN], places[RUN];
    int64_t start = (i * w->shape[1] + j) * w->shape[2] + from;
    const float *here = w->values + start;
    for (int p = 0; p < w->pairs; p++) {
        const int64_t *offset = w->offsets + 3 * p;
        const float *a = neighbours(w, i, j, from, count, offset, 1, ahead);
        const float *b = neighbours(w, i, j, from, count, offset, -1, behind);
        for (int c = 0; c < count; c++) {
            float d = clipped(a[c] - here[c], w->bound) + clipped(b[c] - here[c], w->bound);
            differences[p][c] = d;
            squares[c] += d * d;
        }
    }
    float last = (float)(w->knots - 1), least = last, most = 0;
    for (int c = 0; c < count; c++) {
        float octaves = w->knots > 1 ? log2f(sqrtf(squares[c] / (float)w->pairs) + w->floor) : 0;
        float place = (octaves * w->codes - w->lowest) * w->apart;
        place = place < 0 ? 0 : place > last ? last : place;
        least = place < least ? place : least;
        most = place > most ? place : most;
        places[c] = place;
    }
    /* Other knots have no weight in this run. */
    for (int k = (int)least; k < w->knots && k < most + 1; k++) {
        const float *coefficients = w->coefficients + k * w->pairs;
        float sums[RUN] = {0};
        for (int p = 0; p < w->pairs; p++)
            for (int c = 0; c < count; c++) sums[c] += coefficients[p] * differences[p][c];
        for (int c = 0; c < count; c++) {
            float weight = 1.0f - fabsf(places[c] - (float)k);
            change[c] += sums[c] * (weight > 0 ? weight : 0);
        }
    }
    for (int c = 0; c < count; c++) w->filtered[start + c] = here[c] + change[c];
}

static void filter_rows(const void *context, int64_t begin, int64_t end) {
    const struct wiener *w = context;
    for (int64_t row = begin; row < end; row++)
        for (int64_t from = 0; from < w->shape[2]; from += RUN) {
            int64_t left = w->shape[2] - from;
            int count = left < RUN ? (int)left : RUN;
            filter_run(w, row / w->shape[1], row % w->shape[1], from, count);
        }
}

/* Filter a frame; there are at most MOST_PAIRS pairs. */
API void wiener_run(const struct wiener *w) {
    run_shared(filter_rows, w, w->shape[0] * w->shape[1], w->threads);
}
