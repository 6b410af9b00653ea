/* Motion between two reference slices, and their mean after motion compensation.
 *
 *     slices -> halved -> halved -> coarse to fine: vectors v such that before at x + v matches
 *     after at x - v -> both slices moved -> mean and difference
 *
 * Pixels are whole numbers in double. Costs of matches are whole numbers of 32 bits, so every order
 * of summation and every instruction set finds the same vectors.
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>

#define INLINE static inline __attribute__((always_inline))
#define MOST_LEVELS 8
#define MOST_PARTS 64

/* A batch of pairs of slices, and how they are matched; see texture/slices/motion.py. */
struct motion {
    const double *before, *after;       /* (images, rows, columns) */
    double *mean, *difference;
    int64_t images, rows, columns;
    const int32_t *candidates;          /* (count, 2): changes of -1, 0 or 1 along both axes */
    int32_t candidate_count, levels, radius, largest_difference, change_price, length_price;
};

/* A share of the pairs, with memory of its own. */
struct part {
    const struct motion *motion;
    double *memory;
    int64_t begin, end;
};

/* A pair of images of one pyramid level. */
struct pair { double *before, *after; int64_t rows, columns; };

/* Memory for one pair of slices; arrays of pixels unless said otherwise. */
struct room {
    double *first, *second;             /* moved images with an edge of one pixel */
    int32_t *down, *right;              /* vectors of this level */
    int32_t *coarse_down, *coarse_right;
    int32_t *differences, *best, *choice;
    int32_t *costs, *sums;              /* a row; a row with edges of the radius */
};

INLINE int64_t clamped(int64_t at, int64_t length) {
    return at < 0 ? 0 : at >= length ? length - 1 : at;
}

/* Means of two by two pixels, rounded down; fewer at odd edges. */
INLINE void halve(const double *image, int64_t rows, int64_t columns, double *half) {
    for (int64_t i = 0; i < rows; i += 2) {
        const double *upper = image + i * columns, *lower = i + 1 < rows ? upper + columns : upper;
        double *out = half + i / 2 * ((columns + 1) / 2);
        for (int64_t j = 0; j < columns / 2; j++)
            out[j] = floor((upper[2 * j] + upper[2 * j + 1] + lower[2 * j] + lower[2 * j + 1]) *
                           0.25);
        if (columns & 1) out[columns / 2] = floor((upper[columns - 1] + lower[columns - 1]) * 0.5);
    }
}

/* Image at every pixel plus `sign` times its vector; edges are repeated. */
INLINE void move(const double *image, int64_t rows, int64_t columns, const int32_t *down,
                 const int32_t *right, int sign, double *out, int64_t apart) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            int64_t at = i * columns + j;
            out[i * apart + j] = image[clamped(i + sign * down[at], rows) * columns +
                                       clamped(j + sign * right[at], columns)];
        }
}

/* Repeat the outermost pixels in an edge of one pixel. */
INLINE void repeat_edges(double *padded, int64_t rows, int64_t columns) {
    int64_t apart = columns + 2;
    for (int64_t i = 1; i <= rows; i++) {
        double *row = padded + i * apart;
        row[0] = row[1];
        row[columns + 1] = row[columns];
    }
    for (int64_t j = 0; j < apart; j++) {
        padded[j] = padded[apart + j];
        padded[(rows + 1) * apart + j] = padded[rows * apart + j];
    }
}

/* Absolute differences of both images under a candidate, clipped. */
INLINE void compare(const struct motion *m, const struct room *r, const struct pair *p, int down,
                    int right) {
    int64_t apart = p->columns + 2;
    double largest = m->largest_difference;
    for (int64_t i = 0; i < p->rows; i++) {
        const double *ahead = r->first + (i + 1 + down) * apart + 1 + right;
        const double *behind = r->second + (i + 1 - down) * apart + 1 - right;
        int32_t *out = r->differences + i * p->columns;
#pragma GCC ivdep
        for (int64_t j = 0; j < p->columns; j++) {
            double size = fabs(ahead[j] - behind[j]);
            out[j] = (int32_t)(size < largest ? size : largest);
        }
    }
}

/* Keep the candidate where the differences in the window around a pixel cost least. */
INLINE void choose(const struct motion *m, const struct room *r, const struct pair *p, int number) {
    int64_t columns = p->columns, radius = m->radius;
    int32_t window = (int32_t)((2 * radius + 1) * (2 * radius + 1)), price = m->length_price * window;
    int32_t change = number ? m->change_price * window : 0;
    int32_t down = m->candidates[2 * number], right = m->candidates[2 * number + 1];
    int32_t *sums = r->sums + radius, *costs = r->costs;
    for (int64_t j = 0; j < columns; j++) sums[j] = 0;
    for (int64_t k = -radius; k <= radius; k++) {
        const int32_t *row = r->differences + clamped(k, p->rows) * columns;
        for (int64_t j = 0; j < columns; j++) sums[j] += row[j];
    }
    for (int64_t i = 0; i < p->rows; i++) {
        for (int64_t k = 1; k <= radius; k++) {
            sums[-k] = sums[0];
            sums[columns - 1 + k] = sums[columns - 1];
        }
        int32_t *best = r->best + i * columns, *choice = r->choice + i * columns;
        const int32_t *v = r->down + i * columns, *u = r->right + i * columns;
#pragma GCC ivdep
        for (int64_t j = 0; j < columns; j++)
            costs[j] = change + price * (abs(v[j] + down) + abs(u[j] + right));
        for (int64_t k = -radius; k <= radius; k++) {
            const int32_t *moved = sums + k;
#pragma GCC ivdep
            for (int64_t j = 0; j < columns; j++) costs[j] += moved[j];
        }
#pragma GCC ivdep
        for (int64_t j = 0; j < columns; j++) {
            int better = costs[j] < best[j];
            best[j] = better ? costs[j] : best[j];
            choice[j] = better ? number : choice[j];
        }
        const int32_t *in = r->differences + clamped(i + 1 + radius, p->rows) * columns;
        const int32_t *out = r->differences + clamped(i - radius, p->rows) * columns;
#pragma GCC ivdep
        for (int64_t j = 0; j < columns; j++) sums[j] += in[j] - out[j];
    }
}

/* Find the vectors of a level; they begin with twice those of the coarser level, if any. */
INLINE void match(const struct motion *m, struct room *r, const struct pair *p,
                  const struct pair *coarser) {
    int64_t rows = p->rows, columns = p->columns, apart = columns + 2;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            int64_t at = i * columns + j, from = coarser ? i / 2 * coarser->columns + j / 2 : 0;
            r->down[at] = coarser ? 2 * r->coarse_down[from] : 0;
            r->right[at] = coarser ? 2 * r->coarse_right[from] : 0;
            r->best[at] = INT32_MAX;
        }
    move(p->before, rows, columns, r->down, r->right, 1, r->first + apart + 1, apart);
    move(p->after, rows, columns, r->down, r->right, -1, r->second + apart + 1, apart);
    repeat_edges(r->first, rows, columns);
    repeat_edges(r->second, rows, columns);
    for (int number = 0; number < m->candidate_count; number++) {
        compare(m, r, p, m->candidates[2 * number], m->candidates[2 * number + 1]);
        choose(m, r, p, number);
    }
    for (int64_t at = 0; at < rows * columns; at++) {
        r->down[at] += m->candidates[2 * r->choice[at]];
        r->right[at] += m->candidates[2 * r->choice[at] + 1];
    }
}

INLINE void compensate(const struct motion *m, struct room *r, struct pair *pairs, int64_t image) {
    int64_t size = m->rows * m->columns;
    pairs[0].before = (double *)m->before + image * size;
    pairs[0].after = (double *)m->after + image * size;
    for (int n = 1; n < m->levels; n++) {
        struct pair *fine = pairs + n - 1;
        halve(fine->before, fine->rows, fine->columns, pairs[n].before);
        halve(fine->after, fine->rows, fine->columns, pairs[n].after);
    }
    for (int n = m->levels - 1; n >= 0; n--) {
        match(m, r, pairs + n, n + 1 < m->levels ? pairs + n + 1 : NULL);
        int32_t *down = r->down, *right = r->right;
        r->down = r->coarse_down, r->right = r->coarse_right;
        r->coarse_down = down, r->coarse_right = right;
    }
    double *mean = m->mean + image * size, *difference = m->difference + image * size;
    move(pairs[0].before, m->rows, m->columns, r->coarse_down, r->coarse_right, 1, mean, m->columns);
    move(pairs[0].after, m->rows, m->columns, r->coarse_down, r->coarse_right, -1, difference,
         m->columns);
    for (int64_t n = 0; n < size; n++) {
        double first = mean[n], second = difference[n];
        mean[n] = floor((first + second) * 0.5);
        difference[n] = first - second;
    }
}

/* Sizes of all levels; levels but the first get memory at `next`, which moves on. */
static double *plan_levels(const struct motion *m, struct pair *pairs, double *next) {
    pairs[0] = (struct pair){NULL, NULL, m->rows, m->columns};
    for (int n = 1; n < m->levels; n++) {
        int64_t rows = (pairs[n - 1].rows + 1) / 2, columns = (pairs[n - 1].columns + 1) / 2;
        pairs[n] = (struct pair){next, next + rows * columns, rows, columns};
        next += 2 * rows * columns;
    }
    return next;
}

INLINE void compensate_part(const struct part *p) {
    const struct motion *m = p->motion;
    int64_t size = m->rows * m->columns, padded = (m->rows + 2) * (m->columns + 2);
    struct pair pairs[MOST_LEVELS];
    struct room r = {.first = p->memory, .second = p->memory + padded};
    r.down = (int32_t *)plan_levels(m, pairs, r.second + padded);
    r.right = r.down + size;
    r.coarse_down = r.right + size, r.coarse_right = r.coarse_down + size;
    r.differences = r.coarse_right + size, r.best = r.differences + size;
    r.choice = r.best + size, r.costs = r.choice + size, r.sums = r.costs + m->columns;
    for (int64_t image = p->begin; image < p->end; image++) compensate(m, &r, pairs, image);
}

static void part_plain(const struct part *p) { compensate_part(p); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void part_256(const struct part *p) { compensate_part(p); }
#endif

static void compensate_parts(const void *context, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
        const struct part *p = (const struct part *)context + n;
#if defined(__x86_64__)
        if (best_instructions() >= AVX2) { part_256(p); continue; }
#endif
        part_plain(p);
    }
}

/* Compensate the motion of all pairs of slices; there are at most 8 levels. */
API int motion_halfway(const struct motion *m, int threads) {
    struct part parts[MOST_PARTS];
    int64_t padded = (m->rows + 2) * (m->columns + 2);
    int64_t integers = 7 * m->rows * m->columns + 2 * (m->columns + m->radius);
    /* All halved images together have fewer than twice the pixels of a padded slice. */
    int64_t room = 4 * padded + (integers + 1) / 2;
    int64_t count = threads < 1 ? 1 : threads > MOST_PARTS ? MOST_PARTS : threads;
    if (count > m->images) count = m->images;
    double *memory = malloc((size_t)(count * room) * sizeof *memory);
    if (!memory) return OUT_OF_MEMORY;
    for (int64_t n = 0; n < count; n++)
        parts[n] = (struct part){m, memory + n * room, m->images * n / count,
                                 m->images * (n + 1) / count};
    run_shared(compensate_parts, parts, count, (int)count);
    free(memory);
    return OK;
}
