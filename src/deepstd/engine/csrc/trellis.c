/* Trellis-coded quantisation: the symbols of least distortion + weight x bits.
 *
 *     residuals -> 4 candidates each (quantiser x parity) -> Viterbi over 32 states, lane by lane
 *
 * Every float operation is a single float32 operation in a fixed order, as in the reference, so
 * that both choose the same symbols (compile without contraction of products and sums).
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATES 32
#define SCALES 64
#define LARGEST 24
#define NEVER 1e30f
#define BLOCK 16

struct candidates { float cost[4]; int32_t symbol[4]; };

/* Best symbol of each quantiser and parity for a point, in spacings, and its cost. */
static void consider(double point, int scale, const float *bits, float weight,
                     struct candidates *out) {
    float magnitude = (float)fabs(point);
    for (int row = 0; row < 4; row++) {
        int odd = row >> 1, parity = row & 1;
        const float *price = bits + (odd * SCALES + scale) * (LARGEST + 1);
        float at = (magnitude + (float)odd - (float)(2 * parity)) / 4.0f;
        float near = floorf(at + 0.5f) * 2.0f;
        near = (near > 0.0f ? near : 0.0f) + (float)parity;
        float below = near - 2.0f;
        below = below > (float)parity ? below : (float)parity;
        float cost[2], symbol[2] = {near, below};
        for (int way = 0; way < 2; way++) {
            float value = 2.0f * symbol[way] - (float)odd;
            value = value > 0.0f ? value : 0.0f;
            int entry = symbol[way] < (float)LARGEST ? (int)symbol[way] : LARGEST;
            float difference = magnitude - value;
            float square = difference * difference;
            float rate = weight * price[entry];
            cost[way] = square + rate;
        }
        out->cost[row] = cost[0] < cost[1] ? cost[0] : cost[1];
        float best = cost[0] <= cost[1] ? near : below;
        out->symbol[row] = (int32_t)(point < 0 ? -best : best);
    }
}

/* One step of all states for a block of lanes. */
static inline __attribute__((always_inline)) void step_states(
    const float total[STATES][BLOCK], float next[STATES][BLOCK], uint8_t second[STATES][BLOCK],
    const float cost[4][BLOCK], const uint8_t *before, const uint8_t *taken) {
    for (int s = 0; s < STATES; s++) {
        const float *a = total[before[s]], *b = total[before[STATES + s]];
        const float *p = cost[taken[s]], *q = cost[taken[STATES + s]];
        for (int n = 0; n < BLOCK; n++) {
            float one = a[n] + p[n], other = b[n] + q[n];
            second[s][n] = other < one;
            next[s][n] = other < one ? other : one;
        }
    }
}

static void step_plain(const float total[STATES][BLOCK], float next[STATES][BLOCK],
                       uint8_t second[STATES][BLOCK], const float cost[4][BLOCK],
                       const uint8_t *before, const uint8_t *taken) {
    step_states(total, next, second, cost, before, taken);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void step_avx2(
    const float total[STATES][BLOCK], float next[STATES][BLOCK], uint8_t second[STATES][BLOCK],
    const float cost[4][BLOCK], const uint8_t *before, const uint8_t *taken) {
    step_states(total, next, second, cost, before, taken);
}
#endif

/* Choose symbols and quantisers (1 or 2) for `count` residuals laid out in `lanes` lanes.
 *
 *     points:   residuals in spacings, [count]; symbol n is in lane n mod lanes
 *     bits:     [2][64][25] bits of magnitudes 0 ... 24 with either quantiser
 *     weights:  squared spacings that a bit is worth, [count]
 *     before:   [2][32] states that lead to a state; taken: [2][32] the candidate on that way
 */
API int trellis_search(const double *points, const uint8_t *scales, size_t count, size_t lanes,
                       const float *bits, const float *weights, const uint8_t *before,
                       const uint8_t *taken, int64_t *symbols, uint8_t *quantizers) {
    size_t steps = lanes ? (count + lanes - 1) / lanes : 0;
    struct candidates *found = malloc((steps ? steps : 1) * BLOCK * sizeof *found);
    uint8_t(*second)[STATES][BLOCK] = malloc((steps ? steps : 1) * sizeof *second);
    if (!found || !second) {
        free(found);
        free(second);
        return OUT_OF_MEMORY;
    }
    void (*step)(const float[STATES][BLOCK], float[STATES][BLOCK], uint8_t[STATES][BLOCK],
                 const float[4][BLOCK], const uint8_t *, const uint8_t *) = step_plain;
#if defined(__x86_64__)
    if (best_instructions() >= AVX2) step = step_avx2;
#endif
    for (size_t first = 0; first < lanes; first += BLOCK) {
        size_t width = lanes - first < BLOCK ? lanes - first : BLOCK;
        float total[2][STATES][BLOCK];
        for (int s = 0; s < STATES; s++)
            for (int n = 0; n < BLOCK; n++) total[0][s][n] = s ? NEVER : 0.0f;
        for (size_t k = 0; k < steps; k++) {
            float cost[4][BLOCK] = {{0}};
            for (size_t n = 0; n < width; n++) {
                size_t place = k * lanes + first + n;
                struct candidates *here = &found[k * BLOCK + n];
                if (place < count) {
                    consider(points[place], scales[place], bits, weights[place], here);
                    for (int row = 0; row < 4; row++) cost[row][n] = here->cost[row];
                } else {
                    /* Zero, for free: the lane has ended. */
                    cost[1][n] = cost[3][n] = NEVER;
                }
            }
            step((const float(*)[BLOCK])total[k & 1], total[(k + 1) & 1], second[k],
                 (const float(*)[BLOCK])cost, before, taken);
        }
        for (size_t n = 0; n < width; n++) {
            int state = 0;
            for (int s = 1; s < STATES; s++)
                if (total[steps & 1][s][n] < total[steps & 1][state][n]) state = s;
            for (size_t k = steps; k-- > 0;) {
                int way = second[k][state][n] * STATES + state;
                size_t place = k * lanes + first + n;
                if (place < count) {
                    symbols[place] = found[k * BLOCK + n].symbol[taken[way]];
                    quantizers[place] = (uint8_t)(1 + (taken[way] >> 1));
                }
                state = before[way];
            }
        }
    }
    free(found);
    free(second);
    return OK;
}
