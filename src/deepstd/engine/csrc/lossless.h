/* A slab of a scan <-> bytes, exactly: shared constants and records.
 *
 *     lossless.c            voxel after voxel: run | predict -> code -> learn
 *       lossless_normal.h   normal equations of the predictors, their solution
 *       lossless_space.h    planes of values and errors with margins
 *       lossless_value.h    a value as binary decisions
 *       lossless_mix.h      probabilities of one decision, mixed and learned
 *       lossless_bits.h     decisions <-> bytes
 *
 * The arithmetic is that of IEEE doubles: sums in a fixed order, no fused operations, no library
 * function but floor, fabs and sqrt, which are exact or correctly rounded. Every compiler and CPU
 * gives the same bytes, and those of the reference in Python (lossless/reference.py).
 */
#ifndef DEEPSTD_LOSSLESS_H
#define DEEPSTD_LOSSLESS_H

#include "engine.h"

#define INLINE static inline __attribute__((always_inline))

#define TAPS 31              /* inputs of a predictor */
#define COLUMNS (TAPS + 1)   /* the target is the last column of the normal equations */
#define PACKED 572           /* their upper triangle, rows from a multiple of LANES on */
#define LANES 4
#define MARGIN 8             /* voxels around a plane: the farthest tap */
#define BLOCK 4              /* voxels along an edge of a block with statistics of its own */
#define SPAN 5               /* blocks side by side whose statistics are summed */
#define PREDICTORS 3         /* few taps, all taps, all taps of the whole slab */
#define ALL_TAPS 1           /* the second of them, whose error weighs the statistics */
#define EXPERTS 4            /* the predictors and their blend */
#define COUNTERS 3
#define INPUTS 8             /* of the mixer: experts, counters, a constant */
#define NODES 64             /* kinds of decisions */
#define SCALES 48            /* scales of errors, two an octave */
#define CONTEXTS 4096        /* of a counter */
#define TEXTURES 128         /* signs of seven neighbours */
#define RUNS 64              /* contexts of the flag of flat places */

/* A slab as the Python side describes it (lossless/native.py). */
struct slab {
    int32_t *levels;         /* [slices][rows][columns] from 0 to most */
    int64_t slices, rows, columns;
    int64_t period;          /* slices of a frame, or 0: one frame alone */
    int32_t most;
    int32_t result;
    uint8_t *bytes;
    uint64_t size, room;
};

/* Neighbours in the order of their use: plane (0 this, 1 reference, 2 second), row, column. */
struct tap { int8_t plane, row, column; };
extern const struct tap LOSSLESS_FLAT[TAPS], LOSSLESS_DEEP[TAPS];
/* Taps of the first predictor, of a first slice and of others. */
enum { FEW_FLAT = 12, FEW_DEEP = 16 };

#endif
