/* Transforms of a tile, included for every set of instructions with its TARGET and NAME(x).
 *
 *     patch 6 x 6 -> columns, rows -> 36 coefficients
 *     36 sums of products -> columns, rows -> outputs 4 x 4 -> + bias -> ending
 *
 * The points are 0, 1, -1, 2, -2 and infinity (Lavin and Gray 2016). 16 channels go together.
 */

/* Coefficients of six values along an axis. */
#define COEFFICIENTS(v, d)                                                                         \
    do {                                                                                           \
        lanes even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];                                       \
        lanes near_even = d[4] - d[2], near_odd = 2 * (d[3] - d[1]);                               \
        v[0] = 4 * (d[0] - d[2]) + near_even;                                                      \
        v[1] = even + odd;                                                                         \
        v[2] = even - odd;                                                                         \
        v[3] = near_even + near_odd;                                                               \
        v[4] = near_even - near_odd;                                                               \
        v[5] = 4 * (d[1] - d[3]) + d[5] - d[3];                                                    \
    } while (0)

/* Outputs of six coefficients along an axis. */
#define OUTPUTS(y, m)                                                                              \
    do {                                                                                           \
        lanes even = m[1] + m[2], odd = m[1] - m[2];                                               \
        lanes far_even = m[3] + m[4], far_odd = m[3] - m[4];                                       \
        y[0] = m[0] + even + far_even;                                                             \
        y[1] = odd + 2 * far_odd;                                                                  \
        y[2] = even + 4 * far_even;                                                                \
        y[3] = odd + 8 * far_odd + m[5];                                                           \
    } while (0)

/* Multiply by the slopes of a LeakyReLU that are those of `x`. */
#define SLOPED(v, x)                                                                               \
    do {                                                                                           \
        wide above = (x) > 0;                                                                      \
        v = (lanes)(((wide)v & above) | ((wide)(v * LEAKY_SLOPE) & ~above));                       \
    } while (0)

/* Write the coefficients of a patch, 16 channels, `apart` elements from one to the next. */
TARGET static void NAME(transform_patch)(const float *patch, int64_t step, int64_t row_step,
                                         float *coefficients, int64_t apart) {
    lanes across[WINOGRAD_PATCH][WINOGRAD_PATCH];
    for (int i = 0; i < WINOGRAD_PATCH; i++) {
        lanes d[WINOGRAD_PATCH], v[WINOGRAD_PATCH];
        for (int j = 0; j < WINOGRAD_PATCH; j++)
            memcpy(&d[j], patch + i * row_step + j * step, sizeof d[j]);
        COEFFICIENTS(v, d);
        for (int j = 0; j < WINOGRAD_PATCH; j++) across[j][i] = v[j];
    }
    for (int j = 0; j < WINOGRAD_PATCH; j++) {
        lanes v[WINOGRAD_PATCH];
        COEFFICIENTS(v, across[j]);
        for (int i = 0; i < WINOGRAD_PATCH; i++)
            memcpy(coefficients + (i * WINOGRAD_PATCH + j) * apart, &v[i], sizeof v[i]);
    }
}

/* Write the outputs of a tile, 16 channels; `rows` and `columns` of them lie on the grid. */
TARGET static void NAME(transform_sums)(const float *sums, int64_t apart, const float *bias,
                                        struct ending e, float *output, int64_t step,
                                        int64_t row_step, int rows, int columns) {
    lanes across[WINOGRAD_TILE][WINOGRAD_PATCH], first;
    memcpy(&first, bias, sizeof first);
    for (int i = 0; i < WINOGRAD_PATCH; i++) {
        lanes m[WINOGRAD_PATCH], y[WINOGRAD_TILE];
        for (int j = 0; j < WINOGRAD_PATCH; j++)
            memcpy(&m[j], sums + (i * WINOGRAD_PATCH + j) * apart, sizeof m[j]);
        OUTPUTS(y, m);
        for (int j = 0; j < WINOGRAD_TILE; j++) across[j][i] = y[j];
    }
    for (int j = 0; j < columns; j++) {
        lanes y[WINOGRAD_TILE];
        OUTPUTS(y, across[j]);
        for (int i = 0; i < rows; i++) {
            int64_t at = i * row_step + j * step;
            lanes v = y[i] + first, beside;
            if (e.added) {
                memcpy(&beside, e.added + at, sizeof beside);
                v += beside;
            }
            if (e.sloped) {
                memcpy(&beside, e.sloped + at, sizeof beside);
                SLOPED(v, beside);
            }
            if (e.leaky) SLOPED(v, v);
            memcpy(output + at, &v, sizeof v);
        }
    }
}

#undef COEFFICIENTS
#undef OUTPUTS
#undef SLOPED
#undef TARGET
#undef NAME
