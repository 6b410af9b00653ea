/* One decision: what experts and counters say of it, mixed; all of them learn from its outcome.
 *
 *     experts' distributions -> odds -+
 *     counters of three contexts -----+-> weighted sum of log odds -> probability -> bit
 *                 ^          ^ weights of the node, of the node and the scale      |
 *                 +----------+--------------------- learn -------------------------+
 */
#ifndef DEEPSTD_LOSSLESS_MIX_H
#define DEEPSTD_LOSSLESS_MIX_H

#include "lossless_bits.h"

#include <math.h>
#include <string.h>

#define LEAST 1e-5           /* probabilities stay this far from 0 and 1 */
#define DOUBT 1e-7           /* of a distribution: mass that each side of a decision has at least */
#define CONSTANT 0.5         /* input of the mixer besides the odds */
#define RATE 1e-3            /* of the mixer, per bit of log odds */
#define FIRST_WEIGHT 0.125   /* of an expert, in both sets of weights */
#define MOST_LOG_ODDS 30.0   /* bits */
#define MEMORY 255.0         /* decisions that a counter averages over at most */

struct counter { double one, count; };

struct mixer {
    struct counter counters[COUNTERS][CONTEXTS][NODES];
    double by_node[NODES][INPUTS], by_scale[SCALES][NODES][INPUTS];
};

/* A voxel before it is known. */
struct guess {
    double mean[EXPERTS], sharpness[EXPERTS];
    int scale, contexts[COUNTERS];
};

INLINE void counter_learn(struct counter *c, int bit) {
    c->one += (bit - c->one) / (c->count + 1.5);
    if (c->count < MEMORY) c->count += 1;
    if (c->one < LEAST) c->one = LEAST;
    if (c->one > 1 - LEAST) c->one = 1 - LEAST;
}

/* Logarithm to base 2, a parabola in each octave: at most 0.008 off, and exact at powers of 2. */
INLINE double log_2(double x) {
    uint64_t word;
    memcpy(&word, &x, sizeof word);
    double octave = (double)((int64_t)(word >> 52) - 1023);
    word = (word & 0xfffffffffffffu) | 0x3ff0000000000000u;
    memcpy(&x, &word, sizeof x);
    double f = x - 1;
    return octave + f * (1.34375 - f * 0.34375);
}

/* Power of 2, for exponents of fewer than 1000: the like. */
INLINE double power_2(double x) {
    double octave = floor(x), f = x - octave, scale;
    uint64_t word = (uint64_t)((int64_t)octave + 1023) << 52;
    memcpy(&scale, &word, sizeof scale);
    return scale * (1 + f * (0.65625 + f * 0.34375));
}

/* Student's t distribution with eight degrees of freedom: its integral from 0 to t. */
INLINE double student(double t) {
    double rest = 8 / (t * t + 8), u = t / sqrt(t * t + 8);
    return 0.5 * u * (1 + rest * (0.5 + rest * (0.375 + rest * 0.3125)));
}

/* Integrals of all experts from their mean up to an edge. */
INLINE void masses(const struct guess *g, double edge, double *mass) {
    for (int k = 0; k < EXPERTS; k++) mass[k] = student((edge - g->mean[k]) * g->sharpness[k]);
}

INLINE double dot_8(const double *a, const double *b) {
    double sum[LANES];
    for (int n = 0; n < LANES; n++) sum[n] = a[n] * b[n] + a[n + LANES] * b[n + LANES];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Code a decision; `one` and `zero` are the experts' masses of its sides. */
INLINE int decide(struct mixer *m, struct bits *b, const struct guess *g, int node,
                  const double *one, const double *zero, int bit) {
    double in[INPUTS];
    struct counter *counters[COUNTERS];
    double *w = m->by_node[node], *v = m->by_scale[g->scale][node];
    for (int k = 0; k < EXPERTS; k++) in[k] = log_2((one[k] + DOUBT) / (zero[k] + DOUBT));
    for (int c = 0; c < COUNTERS; c++) {
        counters[c] = &m->counters[c][g->contexts[c]][node];
        in[EXPERTS + c] = log_2(counters[c]->one / (1 - counters[c]->one));
    }
    in[INPUTS - 1] = CONSTANT;
    double odds = dot_8(in, w) + dot_8(in, v);
    if (odds > MOST_LOG_ODDS) odds = MOST_LOG_ODDS;
    if (odds < -MOST_LOG_ODDS) odds = -MOST_LOG_ODDS;
    double probability = 1 / (1 + power_2(-odds));
    bit = code_bit(b, probability, bit);
    double step = (bit - probability) * RATE;
    for (int n = 0; n < INPUTS; n++) {
        w[n] += step * in[n];
        v[n] += step * in[n];
    }
    for (int c = 0; c < COUNTERS; c++) counter_learn(counters[c], bit);
    return bit;
}

#endif
