/* Convolution by 3 x 3 weights in planes, by the coefficients of overlapping patches.
 *
 *     patches 6 x 6 -> 36 coefficients -> a layer of one tap for each -> outputs 4 x 4 -> ending
 *
 * A tile takes 36 products of channels where the sums of a convolution take 144. Along a third axis
 * the patches of three planes are channels of one product. Rounding is coarser than that of plain
 * sums by less than a digit.
 */
#include "winograd.h"

#include <string.h>

/* Sixteen channels, which compilers map to the registers of the target. */
typedef float lanes __attribute__((vector_size(4 * FLOAT_LANES)));
typedef int32_t wide __attribute__((vector_size(4 * FLOAT_LANES)));

#define TARGET
#define NAME(x) x##_plain
#include "winograd_transforms.h"

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define NAME(x) x##_512
#include "winograd_transforms.h"
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_256
#include "winograd_transforms.h"
#endif

typedef void patch_transform(const float *, int64_t, int64_t, float *, int64_t);
typedef void sums_transform(const float *, int64_t, const float *, struct ending, float *, int64_t,
                            int64_t, int, int);

struct transforms {
    patch_transform *patch;
    sums_transform *sums;
};

static struct transforms transforms_of(int instructions) {
#if defined(__x86_64__)
    if (instructions == AVX512_VNNI)
        return (struct transforms){transform_patch_512, transform_sums_512};
    if (instructions == AVX2) return (struct transforms){transform_patch_256, transform_sums_256};
#else
    (void)instructions;
#endif
    return (struct transforms){transform_patch_plain, transform_sums_plain};
}

static int64_t parts(int64_t length, int64_t size) { return (length + size - 1) / size; }

int64_t winograd_tiles(const struct planes *p) {
    return p->count * parts(p->rows, WINOGRAD_TILE) * parts(p->columns, WINOGRAD_TILE);
}

/* Channels of a coefficient, with room for the last 16 of a plane's. */
static int64_t coefficient_step(const struct float_layer *l) {
    return (parts(l->inputs, FLOAT_LANES) + 1) * FLOAT_LANES;
}

int64_t winograd_scratch(const struct float_layer *l) {
    int64_t outputs = l->blocks * FLOAT_LANES;
    return WINOGRAD_TAPS * WINOGRAD_TILES * (coefficient_step(l) + outputs) + outputs;
}

struct place {
    int64_t position, row, column;
};

static struct place place_of(const struct planes *p, int64_t tile) {
    int64_t across = parts(p->columns, WINOGRAD_TILE), down = parts(p->rows, WINOGRAD_TILE);
    int64_t column = tile % across * WINOGRAD_TILE, row = tile / across % down * WINOGRAD_TILE;
    int64_t plane = tile / across / down;
    return (struct place){plane * p->plane_step + row * p->row_step + column, row, column};
}

static void convolve_some(const struct winograd_work *w, int64_t begin, int64_t end,
                          float *scratch) {
    const struct float_layer *l = w->layer;
    const struct planes *p = w->planes;
    struct transforms transforms = transforms_of(w->instructions);
    int64_t in_step = coefficient_step(l), out_step = l->blocks * FLOAT_LANES;
    int64_t count = end - begin, channels = l->inputs / p->depth;
    float *sums = scratch + WINOGRAD_TAPS * WINOGRAD_TILES * in_step;
    for (int64_t n = 0; n < count; n++) {
        int64_t at = place_of(p, begin + n).position - p->row_step - 1;
        for (int32_t d = 0; d < p->depth; d++) {
            int64_t corner = at + (d - p->depth / 2) * p->plane_step;
            const float *patch = w->input + corner * w->input_step;
            /* Channels that only fill a vector are overwritten by the next plane's. */
            for (int64_t c = 0; c < channels; c += FLOAT_LANES)
                transforms.patch(patch + c, w->input_step, p->row_step * w->input_step,
                                 scratch + n * in_step + d * channels + c, count * in_step);
        }
    }
    float *zeros = sums + WINOGRAD_TAPS * WINOGRAD_TILES * out_step;
    memset(zeros, 0, (size_t)out_step * sizeof *zeros);
    const int64_t taps[1] = {0};
    for (int f = 0; f < WINOGRAD_TAPS; f++) {
        struct float_layer one = {l->weights + f * l->inputs * out_step, zeros, 1, l->inputs,
                                  l->blocks};
        struct float_row row = {.input = scratch + f * count * in_step,
                                .taps = taps,
                                .output = sums + f * count * out_step,
                                .input_step = in_step,
                                .output_step = out_step,
                                .count = (int32_t)count};
        float_convolve(&one, &row, w->instructions);
    }
    for (int64_t n = 0; n < count; n++) {
        struct place place = place_of(p, begin + n);
        int64_t rows = p->rows - place.row, columns = p->columns - place.column;
        int64_t at = place.position * w->output_step;
        for (int64_t o = 0; o < out_step; o += FLOAT_LANES) {
            struct ending e = w->ending;
            if (e.added) e.added += at + o;
            if (e.sloped) e.sloped += at + o;
            transforms.sums(sums + n * out_step + o, count * out_step, l->bias + o, e,
                            w->output + at + o, w->output_step, p->row_step * w->output_step,
                            rows < WINOGRAD_TILE ? (int)rows : WINOGRAD_TILE,
                            columns < WINOGRAD_TILE ? (int)columns : WINOGRAD_TILE);
        }
    }
}

void winograd_convolve(const struct winograd_work *w, int64_t begin, int64_t end, float *scratch) {
    int64_t runs = parts(end - begin, WINOGRAD_TILES);
    for (int64_t n = 0; n < runs; n++)
        convolve_some(w, begin + (end - begin) * n / runs, begin + (end - begin) * (n + 1) / runs,
                      scratch);
}
