/* A slab of a scan <-> bytes, exactly, voxel after voxel.
 *
 *     neighbours all equal? -> run flag --- set ---------------------------------> level
 *            | not, or flag clear                                                  ^
 *     taps -> predictors -> blend, bias -> guess (means, scales, contexts) -> code-+
 *                ^ weights                    ^ errors near by                     |
 *     normal equations of blocks <------------+------------- learn ----------------+
 *
 * The same source serves all instruction sets: its loops differ in speed alone.
 */
#include "lossless_space.h"
#include "lossless_value.h"

#define FORGET 0.004         /* of the whole slab's equations, at each block's row */
#define SOLVE_WHOLE_EVERY 4  /* solutions of blocks */
#define ABOVE_SHARE 0.3      /* of the statistics of the row of blocks above */
#define ABOVE_SHARE_FLAT 0.5 /* the same in a slice without a reference */
#define BEFORE_SHARE 0.2     /* of those one slice before: the same row, and the next */
#define LEAST_ERROR 0.4      /* levels; added to every mean error */
#define CALM 4.0             /* squared levels: where errors are smaller, all voxels count alike */
#define BIAS_PRIOR 4.0       /* voxels */
#define BIAS_MEMORY 60.0     /* voxels; then all is halved */
static const double SIDE_SHARES[SPAN] = {0.25, 0.6, 1, 0.6, 0.25};

const struct tap LOSSLESS_FLAT[TAPS] = {
    {0, 0, -1}, {0, -1, 0}, {0, -1, -1}, {0, -1, 1}, {0, 0, -2}, {0, -2, 0}, {0, -2, 1},
    {0, -2, -1}, {0, -1, -2}, {0, -1, 2}, {0, 0, -3}, {0, -3, 0}, {0, -2, 2}, {0, -2, -2},
    {0, -3, 1}, {0, -3, -1}, {0, -1, -3}, {0, -1, 3}, {0, -3, 2}, {0, -3, -2}, {0, -2, 3},
    {0, -2, -3}, {0, -3, 3}, {0, -3, -3}, {0, -4, 0}, {0, 0, -4}, {0, -4, 1}, {0, -4, -1},
    {0, -1, 4}, {0, -1, -4}, {0, -5, 0}};
const struct tap LOSSLESS_DEEP[TAPS] = {
    {0, 0, -1}, {0, -1, 0}, {1, 0, 0}, {0, -1, -1}, {0, -1, 1}, {1, 0, -1}, {1, -1, 0},
    {1, 0, 1}, {1, 1, 0}, {0, 0, -2}, {0, -2, 0}, {0, -2, 1}, {2, 0, 0}, {0, -1, -2},
    {0, -1, 2}, {0, -2, -1}, {0, -3, 0}, {0, -4, 0}, {0, -5, 0}, {0, -6, 0}, {0, -7, 0},
    {0, -8, 0}, {0, 0, -3}, {0, 0, -4}, {0, 0, -5}, {0, -2, -2}, {0, -2, 2}, {0, -3, 1},
    {0, -3, -1}, {0, -1, -3}, {0, -1, 3}};

/* Where the taps of a slice lie, from a voxel's place in its plane. */
struct places { const double *from[TAPS]; };

INLINE double clamped(double x, double most) {
    if (!(x > 0)) return 0;
    return x > most ? most : x;
}

/* Two steps an octave of an error, from 1/16 level on. */
INLINE int scale_of(double error) {
    int scale = (int)floor(2 * log_2(error + 1e-9) + 0.5) + 8;
    return scale < 0 ? 0 : scale > SCALES - 1 ? SCALES - 1 : scale;
}

/* A difference in seven steps. */
INLINE int step_of(double x) {
    static const double edges[6] = {-2, -0.75, -0.25, 0.25, 0.75, 2};
    int step = 0;
    for (int n = 0; n < 6; n++) step += x > edges[n];
    return step;
}

/* Products of a row of blocks before its first voxel: shares of those above and one slice before.
 * block_sums[r] holds the previous slice until end_blocks(r) overwrites it. The rows r and r + 1
 * of that slice are known already, so they tell what lies ahead. */
INLINE void begin_blocks(struct state *s, int64_t row) {
    int64_t size = s->blocks * PACKED;
    const float *same = s->block_sums + row * size;
    const float *next = (row + 1) * BLOCK < s->slab->rows ? same + size : same;
    double above = row == 0 ? 0 : s->deep ? ABOVE_SHARE : ABOVE_SHARE_FLAT;
    for (int64_t n = 0; n < size; n++)
        s->row_sums[n] = above * s->row_sums[n] + BEFORE_SHARE * ((double)same[n] + next[n]);
}

INLINE void end_blocks(struct state *s, int64_t row) {
    int64_t size = s->blocks * PACKED;
    for (int64_t n = 0; n < size; n++) s->block_sums[row * size + n] = (float)s->row_sums[n];
}

INLINE void solve(struct state *s, int64_t block) {
    double a[PACKED] = {0};
    for (int n = 0; n < SPAN; n++) {
        int64_t other = block + n - SPAN / 2;
        if (other >= 0 && other < s->blocks)
            add_scaled(a, SIDE_SHARES[n], s->row_sums + other * PACKED);
    }
    eliminate(a);
    substitute(a, s->deep ? FEW_DEEP : FEW_FLAT, s->weights[0]);
    substitute(a, TAPS, s->weights[1]);
    if (s->solved++ % SOLVE_WHOLE_EVERY) return;
    memcpy(a, s->slab_sums, sizeof a);
    eliminate(a);
    substitute(a, TAPS, s->weights[2]);
}

/* Add what a block's row of voxels taught to the sums. */
INLINE void settle(struct state *s, int64_t block) {
    double *row = s->row_sums + block * PACKED;
    for (int n = 0; n < PACKED; n++) {
        row[n] += s->block[n];
        s->slab_sums[n] = s->slab_sums[n] * (1 - FORGET) + s->block[n];
        s->block[n] = 0;
    }
}

/* Context of the run flag, or -1 where the neighbours differ. */
INLINE int flatness(const struct state *s, const double *x, const double *ref) {
    int64_t up = s->width;
    double v = x[-1];
    if (x[-up] != v || x[-up - 1] != v || x[-up + 1] != v) return -1;
    int context = 0;
    if (ref)
        context = ref[0] != v ? 1
                              : 2 + (ref[1] == v) + (ref[up] == v) +
                                    (ref[up + 1] == v && ref[up - 1] == v);
    return context * 3 + (x[-2] == v) + (x[-2 * up] == v);
}

/* Mean error of an expert near by. */
INLINE double mean_error(const struct state *s, const float *e, const float *before) {
    int64_t up = s->error_width * EXPERTS;
    const int next = EXPERTS;
    double sum = 2.0 * e[-next] + e[-2 * next] + 2.0 * e[-up] + e[-up + next] + e[-up - next];
    if (!s->deep) return sum / 7 + LEAST_ERROR;
    sum = sum + before[0] + 0.5 * ((double)before[next] + before[-next] + before[up]);
    return sum / 9.5 + LEAST_ERROR;
}

/* Fill the guess of a voxel from the experts; return the place of its bias. */
INLINE int make_guess(struct state *s, struct guess *g, const double *taps, double base,
                      const double *x, const double *ref, const float *e, const float *before) {
    double most = s->slab->most, error[EXPERTS], share = 0, sum = 0;
    int64_t up = s->width;
    for (int k = 0; k < PREDICTORS; k++) {
        g->mean[k] = clamped(dot_from(0, s->weights[k], taps) + base, most);
        error[k] = mean_error(s, e + k, before + k);
        double w = 1 / (error[k] * error[k]); /* shares fall with the fourth power of the error */
        share += w * w;
        sum += w * w * g->mean[k];
    }
    const int last = EXPERTS - 1;
    error[last] = mean_error(s, e + last, before + last);
    double blend = sum / share;
    g->scale = scale_of(error[last]);
    int texture = (x[-1] > blend) | (x[-up] > blend) << 1 | (x[-up - 1] > blend) << 2 |
                  (x[-up + 1] > blend) << 3;
    if (s->deep)
        texture |= (ref[0] > blend) << 4 | (ref[1] > blend) << 5 | (ref[up] > blend) << 6;
    else
        texture |= (x[-2] > blend) << 4 | (x[-2 * up] > blend) << 5 |
                   (2 * x[-1] - x[-2] > blend) << 6;
    int place = texture * SCALES + g->scale;
    g->mean[last] =
        clamped(blend + s->bias_sum[place] / (s->bias_count[place] + BIAS_PRIOR), most);
    for (int k = 0; k < EXPERTS; k++) g->sharpness[k] = 1 / error[k];
    double mean = g->mean[last], unit = g->sharpness[last];
    double third = s->deep ? ref[0] : x[-up + 1], fourth = s->deep ? ref[1] : x[-up - 1];
    int first = g->scale * 7 + step_of((x[-1] - mean) * unit);
    int second = g->scale * 7 + step_of((third - mean) * unit);
    g->contexts[0] = first * 7 + step_of((x[-up] - mean) * unit);
    g->contexts[1] = second * 7 + step_of((fourth - mean) * unit);
    g->contexts[2] = (int)((int64_t)floor(mean + 0.5) % CONTEXTS);
    return place;
}

INLINE void learn_bias(struct state *s, int place, double error) {
    s->bias_sum[place] += error;
    s->bias_count[place] += 1;
    if (s->bias_count[place] > BIAS_MEMORY) {
        s->bias_sum[place] *= 0.5;
        s->bias_count[place] *= 0.5;
    }
}

INLINE double code_voxel(struct state *s, const struct places *p, int64_t at, float *e,
                         const float *before, int64_t level) {
    const double *x = s->here + at, *ref = s->deep ? s->reference + at : NULL;
    double taps[COLUMNS], error;
    double side = x[-1] + x[-s->width];
    double base = s->deep ? (side + 2 * ref[0]) * 0.25 : side * 0.5;
    for (int n = 0; n < TAPS; n++) taps[n] = p->from[n][at] - base;
    taps[TAPS] = 0;
    struct guess g;
    int place = make_guess(s, &g, taps, base, x, ref, e, before);
    double v = (double)code_level(s->mixer, &s->bits, &g, s->slab->most, level);
    error = mean_error(s, e + ALL_TAPS, before + ALL_TAPS);
    for (int k = 0; k < EXPERTS; k++) e[k] = (float)fabs(v - g.mean[k]);
    learn_bias(s, place, v - g.mean[EXPERTS - 1]);
    taps[TAPS] = v - base;
    add_products(s->block, taps, 1 / (error * error + CALM));
    return v;
}

INLINE void code_row(struct state *s, const struct places *p, int64_t y, int32_t *levels) {
    int64_t columns = s->slab->columns, start = (y + MARGIN) * s->width + MARGIN;
    double *row = s->here + start;
    for (int n = 1; n <= MARGIN; n++) row[-n] = row[-s->width];
    int learned = 0, stale = 1;
    for (int64_t x = 0; x < columns; x++) {
        float *e = s->error + ((y + 1) * s->error_width + x + 2) * EXPERTS;
        const float *before = s->error_before + (e - s->error);
        int flat = flatness(s, row + x, s->deep ? s->reference + start + x : NULL), run = 0;
        if (x % BLOCK == 0) stale = 1;
        if (flat >= 0) {
            run = code_bit(&s->bits, s->runs[flat].one, levels[x] == row[x - 1]);
            counter_learn(&s->runs[flat], run);
        }
        if (run) {
            row[x] = row[x - 1];
            memset(e, 0, EXPERTS * sizeof *e);
        } else {
            if (stale) solve(s, x / BLOCK);
            stale = 0;
            learned = 1;
            row[x] = code_voxel(s, p, start + x, e, before, levels[x]);
        }
        levels[x] = (int32_t)row[x];
        if (learned && ((x + 1) % BLOCK == 0 || x + 1 == columns)) {
            settle(s, x / BLOCK);
            learned = 0;
        }
    }
    widen_row(row, columns);
    end_error_row(s, y);
}

/* Find the references of a slice, and what the statistics of the slice before still say. */
static void begin_slice(struct state *s, int64_t slice, struct places *p) {
    int64_t period = s->slab->period, back = period && slice >= period ? period : 1;
    int64_t second = back > 1 ? slice - 1 : slice - 2;
    s->deep = slice > 0;
    s->here = plane_of(s, slice);
    s->reference = s->deep ? plane_of(s, slice - back) : NULL;
    s->second = second >= 0 ? plane_of(s, second) : s->reference;
    s->error = s->errors + slice % 2 * s->error_size;
    s->error_before = s->errors + (slice + 1) % 2 * s->error_size;
    if (slice == 1) {  /* other taps from here on */
        int64_t block_rows = (s->slab->rows + BLOCK - 1) / BLOCK;
        memset(s->block_sums, 0, (size_t)(block_rows * s->blocks * PACKED) * sizeof *s->block_sums);
        memset(s->slab_sums, 0, sizeof s->slab_sums);
    }
    const double *planes[3] = {s->here, s->reference, s->second};
    for (int n = 0; n < TAPS; n++) {
        struct tap t = s->deep ? LOSSLESS_DEEP[n] : LOSSLESS_FLAT[n];
        p->from[n] = planes[t.plane] + t.row * s->width + t.column;
    }
    begin_plane(s);
}

INLINE void code_slab(struct state *s) {
    struct slab *b = s->slab;
    for (int64_t slice = 0; slice < b->slices; slice++) {
        struct places p;
        begin_slice(s, slice, &p);
        for (int64_t y = 0; y < b->rows; y++) {
            if (y % BLOCK == 0) begin_blocks(s, y / BLOCK);
            code_row(s, &p, y, b->levels + (slice * b->rows + y) * b->columns);
            if (y % BLOCK == BLOCK - 1 || y == b->rows - 1) end_blocks(s, y / BLOCK);
        }
        end_plane(s);
    }
}

static void code_plain(struct state *s) { code_slab(s); }
#if defined(__x86_64__) || defined(_M_X64)
__attribute__((target("avx2"))) static void code_avx2(struct state *s) { code_slab(s); }
#endif

static int32_t run_slab(struct slab *b, int decoding) {
    struct state *s = state_new(b, decoding);
    if (!s) return OUT_OF_MEMORY;
#if defined(__x86_64__) || defined(_M_X64)
    if (best_instructions() >= AVX2) code_avx2(s);
    else code_plain(s);
#else
    code_plain(s);
#endif
    if (!decoding) end_bits(&s->bits);
    int32_t result = s->bits.failed ? OUT_OF_MEMORY : OK;
    state_free(s);
    return result;
}

struct slabs { struct slab *slab; int decoding; };

static void run_some(const void *context, int64_t begin, int64_t end) {
    const struct slabs *s = context;
    for (int64_t n = begin; n < end; n++)
        s->slab[n].result = run_slab(&s->slab[n], s->decoding);
}

/* Encode slabs to memory that `lossless_free` gives back, or decode them; see each one's result. */
API void lossless_run(struct slab *slab, int64_t count, int decoding, int threads) {
    struct slabs s = {slab, decoding};
    run_shared(run_some, &s, count, threads);
}

API void lossless_free(struct slab *slab, int64_t count) {
    for (int64_t n = 0; n < count; n++) free(slab[n].bytes);
}
