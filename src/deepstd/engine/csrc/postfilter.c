/* Learned post-filter of a window of a scan, and the gradient of the squared error behind it.
 *
 *     low - mean of neighbours -+
 *     template - low -----------+ clamp, fold voxels into channels -> entry -> blocks -> exit
 *                                  -> unfold, + low -> restored
 *     restored - truth -> transposed layers, last to first -> unfold -> gradient by low
 *
 * Activations lie on the folded grid, channels innermost, with zeros around it. The layers work in
 * place: a block adds to its input, and a gradient takes the place of the activation it belongs to.
 */
#include "winograd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_LIMIT 16.0 /* largest magnitude of the inputs, in steps */
#define UNIT (1.0 / 64)  /* of reconstruction and template, in steps */
#define CHUNK 64         /* folded positions whose voxels are handled at once */
#define MOST_TAPS 27

struct postfilter {
    const struct float_layer *layers;     /* entry, first and second of every block, exit */
    const struct float_layer *transposed; /* of the same layers; NULL where nothing is trained */
    int32_t ndim, blocks, has_template, threads;
};

/* Axes are three; the first of an image has one voxel and is neither folded nor convolved along. */
struct window {
    int64_t shape[3];
    const double *low, *template; /* [shape] units; the template may be NULL */
    float *restored;              /* [shape] steps; not written for a gradient */
    const float *truth;           /* [shape] steps, for a gradient */
    int64_t begin[3], end[3];     /* of the region whose errors count */
    float *gradient;              /* [shape] */
    double error;                 /* squared steps */
};

struct job {
    const struct postfilter *filter;
    struct window *window;
    int64_t grid[3], channels; /* channels of a buffer of activations */
    struct planes planes;      /* of the grid, padded */
    int32_t cells, instructions;
    float *inputs, *entered, *sum, **hidden; /* padded grid, first position of the first row */
    float *scratch;                          /* of every thread */
    int64_t scratch_size;                    /* of a thread */
    double *details;                         /* [shape] gradient by the high-pass, steps */
    double *errors;                          /* [rows of the grid] */
};

static int64_t position(const struct job *j, int64_t row) {
    return row / j->grid[1] * j->planes.plane_step + row % j->grid[1] * j->planes.row_step;
}

static void shared(const struct job *j, shared_work *work, const void *context) {
    run_shared(work, context, j->grid[0] * j->grid[1], j->filter->threads);
}

/* The first layer. Too few inputs for coefficients of patches to pay. */
static void enter_rows(const void *context, int64_t begin, int64_t end) {
    const struct job *j = context;
    const struct float_layer *entry = j->filter->layers;
    int64_t taps[MOST_TAPS], *next = taps, reach = j->planes.depth / 2;
    for (int64_t a = -reach; a <= reach; a++)
        for (int64_t b = -1; b <= 1; b++)
            for (int64_t c = -1; c <= 1; c++)
                *next++ = (a * j->planes.plane_step + b * j->planes.row_step + c) * entry->inputs;
    for (int64_t n = begin; n < end; n++) {
        int64_t at = position(j, n);
        struct float_row r = {j->inputs + at * entry->inputs,
                              taps,
                              j->entered + at * j->channels,
                              entry->inputs,
                              j->channels,
                              (int32_t)j->grid[2],
                              1};
        float_convolve(entry, &r, j->instructions);
    }
}

struct layer_work {
    const struct job *job;
    struct winograd_work work;
};

/* A share of the tiles for every thread, each with scratch of its own. */
static void layer_tiles(const void *context, int64_t begin, int64_t end) {
    const struct layer_work *w = context;
    const struct job *j = w->job;
    int64_t tiles = winograd_tiles(&j->planes), shares = j->filter->threads;
    for (int64_t n = begin; n < end; n++)
        winograd_convolve(&w->work, tiles * n / shares, tiles * (n + 1) / shares,
                          j->scratch + n * j->scratch_size);
}

/* A layer of the blocks, or a transposed one, over the whole grid. */
static void run_layer(const struct job *j, const struct float_layer *layer, const float *input,
                      float *output, struct ending ending) {
    struct layer_work work = {
        j, {layer, &j->planes, input, output, j->channels, j->channels, ending, j->instructions}};
    run_shared(layer_tiles, &work, j->filter->threads, j->filter->threads);
}

static int64_t clamped(int64_t at, int64_t length) {
    return at < 0 ? 0 : at >= length ? length - 1 : at;
}

/* Values of a row less their binomial 1-2-1 mean, whose edges are repeated. */
static void high_pass(const double *values, const struct window *w, int volume, int64_t i,
                      int64_t j, int64_t from, int count, int whole, double *out) {
    double sums[2 * CHUNK + 2], share = volume ? 1.0 / 64 : 1.0 / 16;
    const int64_t *n = w->shape;
    memset(sums, 0, sizeof sums);
    for (int di = -volume; di <= volume; di++)
        for (int dj = -1; dj <= 1; dj++) {
            int64_t above = clamped(i + di, n[0]) * n[1] + clamped(j + dj, n[1]);
            const double *row = values + above * n[2];
            double weight = (di ? 1.0 : 1.0 + volume) * (dj ? 1.0 : 2.0);
            sums[0] += weight * row[clamped(from - 1, n[2])];
            for (int k = 0; k < count; k++) sums[k + 1] += weight * row[from + k];
            sums[count + 1] += weight * row[clamped(from + count, n[2])];
        }
    const double *row = values + (i * n[1] + j) * n[2] + from;
    for (int k = 0; k < count; k++) {
        double mean = (sums[k] + 2.0 * sums[k + 1] + sums[k + 2]) * share;
        out[k] = row[k] - (whole ? floor(mean) : mean);
    }
}

/* Call `part` for all voxels of the folded rows, a run of voxels in a row at a time. */
typedef void row_part(const struct job *j, int64_t i, int64_t k, int64_t from, int count,
                      int64_t place, int cell);

static void each_run(const struct job *j, int64_t row, int64_t first, row_part *part) {
    const int64_t *n = j->window->shape;
    int volume = j->filter->ndim == 3;
    int64_t place = position(j, row) + first, from = 2 * first;
    int count = (int)(n[2] - from < 2 * CHUNK ? n[2] - from : 2 * CHUNK);
    for (int a = 0; a <= volume; a++)
        for (int b = 0; b < 2; b++) {
            int64_t i = volume ? 2 * (row / j->grid[1]) + a : 0, k = 2 * (row % j->grid[1]) + b;
            if (i < n[0] && k < n[1]) part(j, i, k, from, count, place, (2 * a + b) * 2);
        }
}

static void each_chunk(const struct job *j, int64_t begin, int64_t end, row_part *part) {
    for (int64_t row = begin; row < end; row++)
        for (int64_t first = 0; first < j->grid[2]; first += CHUNK) each_run(j, row, first, part);
}

static float bounded(double v) {
    return (float)(v < -INPUT_LIMIT ? -INPUT_LIMIT : v > INPUT_LIMIT ? INPUT_LIMIT : v);
}

static void write_run(const struct job *j, int64_t i, int64_t k, int64_t from, int count,
                      int64_t place, int cell) {
    const struct window *w = j->window;
    int inputs = j->filter->layers[0].inputs;
    int64_t start = (i * w->shape[1] + k) * w->shape[2] + from;
    float *out = j->inputs + place * inputs + cell;
    double detail[2 * CHUNK];
    /* Rounding has no useful gradient. */
    high_pass(w->low, w, j->filter->ndim == 3, i, k, from, count, !w->gradient, detail);
    for (int c = 0; c < count; c++) out[c / 2 * inputs + c % 2] = bounded(detail[c] * UNIT);
    if (j->filter->has_template)
        for (int c = 0; c < count; c++)
            out[c / 2 * inputs + j->cells + c % 2] =
                bounded((w->template[start + c] - w->low[start + c]) * UNIT);
}

static void write_inputs(const void *context, int64_t begin, int64_t end) {
    each_chunk(context, begin, end, write_run);
}

static int within(double v) { return v >= -INPUT_LIMIT && v <= INPUT_LIMIT; }

/* Gradient by the inputs, which are in `hidden[0]`, to the voxels. */
static void gradient_run(const struct job *j, int64_t i, int64_t k, int64_t from, int count,
                         int64_t place, int cell) {
    const struct window *w = j->window;
    int64_t start = (i * w->shape[1] + k) * w->shape[2] + from;
    const float *in = j->hidden[0] + place * j->channels + cell;
    double detail[2 * CHUNK];
    high_pass(w->low, w, j->filter->ndim == 3, i, k, from, count, 0, detail);
    for (int c = 0; c < count; c++)
        j->details[start + c] =
            within(detail[c] * UNIT) ? in[c / 2 * j->channels + c % 2] : 0.0;
    if (j->filter->has_template)
        for (int c = 0; c < count; c++)
            if (within((w->template[start + c] - w->low[start + c]) * UNIT))
                w->gradient[start + c] -= in[c / 2 * j->channels + j->cells + c % 2];
}

static void write_gradient(const void *context, int64_t begin, int64_t end) {
    each_chunk(context, begin, end, gradient_run);
}

/* The mean is its own adjoint. */
static void details_run(const struct job *j, int64_t i, int64_t k, int64_t from, int count,
                        int64_t place, int cell) {
    const struct window *w = j->window;
    float *out = w->gradient + (i * w->shape[1] + k) * w->shape[2] + from;
    double detail[2 * CHUNK];
    (void)place, (void)cell;
    high_pass(j->details, w, j->filter->ndim == 3, i, k, from, count, 0, detail);
    for (int c = 0; c < count; c++) out[c] = (float)(out[c] + detail[c]);
}

static void add_details(const void *context, int64_t begin, int64_t end) {
    each_chunk(context, begin, end, details_run);
}

/* Run a layer of one tap over a chunk of positions. */
static void run_chunk(const struct job *j, const struct float_layer *layer, const float *input,
                      int64_t input_step, float *output, int64_t output_step, int64_t count) {
    const int64_t taps[1] = {0};
    struct float_row r = {input, taps, output, input_step, output_step, (int32_t)count, 0};
    float_convolve(layer, &r, j->instructions);
}

/* The last layer; for a gradient also its error, and back through it. */
static void write_outputs(const void *context, int64_t begin, int64_t end) {
    const struct job *j = context;
    struct window *w = j->window;
    int volume = j->filter->ndim == 3, last = 1 + 2 * j->filter->blocks;
    const int64_t *n = w->shape;
    for (int64_t row = begin; row < end; row++)
        for (int64_t first = 0; first < j->grid[2]; first += CHUNK) {
            int64_t left = j->grid[2] - first, count = left < CHUNK ? left : CHUNK;
            float *sum = j->sum + (position(j, row) + first) * j->channels;
            float change[CHUNK * FLOAT_LANES];
            run_chunk(j, j->filter->layers + last, sum, j->channels, change, FLOAT_LANES, count);
            for (int cell = 0; cell < j->cells; cell++) {
                int64_t i = volume ? 2 * (row / j->grid[1]) + cell / 4 : 0;
                int64_t k = 2 * (row % j->grid[1]) + cell / 2 % 2, l = 2 * first + cell % 2;
                int inside = i < n[0] && k < n[1];
                int64_t start = (i * n[1] + k) * n[2];
                int counts = i >= w->begin[0] && i < w->end[0] && k >= w->begin[1] && k < w->end[1];
                for (int64_t q = 0; q < count; q++, l += 2) {
                    float *v = change + q * FLOAT_LANES + cell;
                    double restored = inside && l < n[2] ? w->low[start + l] * UNIT + *v : 0.0;
                    if (!w->gradient) {
                        if (inside && l < n[2]) w->restored[start + l] = (float)restored;
                        continue;
                    }
                    *v = 0.0f;
                    if (!inside || l >= n[2]) continue;
                    if (counts && l >= w->begin[2] && l < w->end[2]) {
                        double error = restored - w->truth[start + l];
                        j->errors[row] += error * error;
                        *v = (float)(2.0 * error);
                    }
                    w->gradient[start + l] = *v;
                }
            }
            if (w->gradient)
                run_chunk(j, j->filter->transposed + last, change, FLOAT_LANES, sum, j->channels,
                          count);
        }
}

static void back(const struct job *j) {
    const struct float_layer *transposed = j->filter->transposed;
    for (int b = j->filter->blocks - 1; b >= 0; b--) {
        float *hidden = j->hidden[b];
        struct ending to_hidden = {.sloped = hidden}, to_sum = {.added = j->sum};
        /* At last back through the LeakyReLU behind the first layer. */
        if (!b) to_sum.sloped = j->entered;
        run_layer(j, transposed + 2 + 2 * b, j->sum, hidden, to_hidden);
        run_layer(j, transposed + 1 + 2 * b, hidden, j->sum, to_sum);
    }
    run_layer(j, transposed, j->sum, j->hidden[0], (struct ending){0});
    shared(j, write_gradient, j);
    shared(j, add_details, j);
    j->window->error = 0.0;
    for (int64_t row = 0; row < j->grid[0] * j->grid[1]; row++) j->window->error += j->errors[row];
}

static void run(const struct job *j) {
    const struct postfilter *f = j->filter;
    shared(j, write_inputs, j);
    shared(j, enter_rows, j);
    for (int b = 0; b < f->blocks; b++) {
        const float *x = b ? j->sum : j->entered;
        run_layer(j, f->layers + 1 + 2 * b, x, j->hidden[b], (struct ending){.leaky = 1});
        run_layer(j, f->layers + 2 + 2 * b, j->hidden[b], j->sum, (struct ending){.added = x});
    }
    shared(j, write_outputs, j);
    if (j->window->gradient) back(j);
}

/* Filter a window, or take the gradient by it where `gradient` is not NULL. */
API int postfilter_run(const struct postfilter *f, struct window *w) {
    struct job j = {.filter = f, .window = w, .cells = 1 << f->ndim};
    j.instructions = best_instructions();
    int64_t size = w->shape[0] * w->shape[1] * w->shape[2];
    int64_t whole[3]; /* axes in whole tiles */
    for (int a = 0; a < 3; a++) {
        j.grid[a] = a || f->ndim == 3 ? (w->shape[a] + 1) / 2 : 1;
        whole[a] = a ? (j.grid[a] + WINOGRAD_TILE - 1) / WINOGRAD_TILE * WINOGRAD_TILE : j.grid[0];
    }
    int64_t row = whole[2] + 2, plane = (whole[1] + 2) * row, reach = f->ndim == 3;
    int64_t padded = (whole[0] + 2 * reach) * plane, first = reach * plane + row + 1;
    j.planes = (struct planes){j.grid[0], j.grid[1], j.grid[2], plane, row, 1 + 2 * (int)reach};
    j.channels = f->layers[0].blocks * FLOAT_LANES;
    /* Without a gradient no activation is needed later: sums share a buffer, hidden layers too. */
    int kept = w->gradient ? f->blocks : 1, buffers = kept + (w->gradient ? 2 : 1);
    int64_t inputs = f->layers[0].inputs, rows = j.grid[0] * j.grid[1];
    j.scratch_size = winograd_scratch(f->layers + 1);
    /* Vectors of activations begin at cache lines, after the inputs. */
    int64_t before = (padded * inputs + FLOAT_LANES - 1) / FLOAT_LANES * FLOAT_LANES;
    int64_t floats = before + padded * buffers * j.channels + f->threads * j.scratch_size;
    float *room = calloc((size_t)(floats + FLOAT_LANES), sizeof *room);
    float *activations = room + (-(uintptr_t)room / sizeof *room) % FLOAT_LANES;
    double *doubles = w->gradient ? calloc((size_t)(size + rows), sizeof(double)) : NULL;
    float **hidden = malloc((size_t)f->blocks * sizeof *hidden);
    int failed = !room || !hidden || (w->gradient && !doubles);
    if (!failed) {
        j.scratch = activations + before + padded * buffers * j.channels;
        float *buffer = activations + before + first * j.channels;
        j.inputs = activations + first * inputs;
        j.entered = buffer;
        j.sum = w->gradient ? buffer + padded * j.channels : buffer;
        for (int b = 0; b < f->blocks; b++)
            hidden[b] = j.sum + padded * j.channels * (1 + (w->gradient ? b : 0));
        j.hidden = hidden;
        j.details = doubles;
        j.errors = doubles ? doubles + size : NULL;
        run(&j);
    }
    free(room);
    free(doubles);
    free(hidden);
    return failed ? OUT_OF_MEMORY : OK;
}
