/* Normal equations of the predictors: least squares over voxels near by.
 *
 *     taps, target, weight -> packed upper triangle -> sums of blocks -> elimination -> weights
 *
 * Row i holds the products of tap i with the taps from i on and with the target. Elimination gives
 * the solution of every number of leading taps at once: each has its own back substitution.
 */
#ifndef DEEPSTD_LOSSLESS_NORMAL_H
#define DEEPSTD_LOSSLESS_NORMAL_H

#include "lossless.h"

#include <string.h>

#define RIDGE 2.0            /* added to the diagonal, in squared levels */
#define RELATIVE_RIDGE 1e-6  /* of the diagonal: keeps the elimination stable */

/* Where column 0 of a packed row would be: row 4a + b follows a full groups and b rows. */
INLINE int row_at(int i) {
    int group = i / LANES, begin = i - i % LANES;
    return LANES * (group * COLUMNS - LANES * group * (group - 1) / 2) +
           i % LANES * (COLUMNS - begin) - begin;
}

INLINE void add_scaled(double *sum, double factor, const double *x) {
    for (int n = 0; n < PACKED; n++) sum[n] += factor * x[n];
}

/* Add the products of a voxel's taps and target (the last column). */
INLINE void add_products(double *triangle, const double *x, double weight) {
    for (int i = 0; i < TAPS; i++) {
        double f = weight * x[i], *row = triangle + row_at(i);
        for (int j = i - i % LANES; j < COLUMNS; j++) row[j] += f * x[j];
    }
}

/* Bring the equations into triangular form, in place. */
INLINE void eliminate(double *a) {
    for (int i = 0; i < TAPS; i++) {
        double *diagonal = a + row_at(i) + i;
        *diagonal = *diagonal * (1 + RELATIVE_RIDGE) + RIDGE;
    }
    for (int k = 0; k < TAPS; k++) {
        const double *pivot = a + row_at(k);
        double inverse = 1 / pivot[k];
        for (int i = k + 1; i < TAPS; i++) {
            double f = pivot[i] * inverse, *row = a + row_at(i);
            for (int j = i - i % LANES; j < COLUMNS; j++) row[j] -= f * pivot[j];
        }
    }
}

/* Sum of products from a multiple of LANES on, in lanes of their own. */
INLINE double dot_from(int begin, const double *a, const double *b) {
    double sum[LANES] = {0};
    for (int n = begin; n < COLUMNS; n += LANES)
        for (int lane = 0; lane < LANES; lane++) sum[lane] += a[n + lane] * b[n + lane];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Weights of the leading taps from equations in triangular form; the others are zero. */
INLINE void substitute(const double *a, int taps, double *weights) {
    memset(weights, 0, COLUMNS * sizeof *weights);
    for (int k = taps - 1; k >= 0; k--) {
        const double *row = a + row_at(k);
        weights[k] = (row[TAPS] - dot_from(k - k % LANES, row, weights)) / row[k];
    }
}

#endif
