/* Lifting wavelets in double, plane by plane along the first axis, in bounded memory.
 *
 *     merge: subbands -> rows (last axis) -> planes (middle axis) -> ring of 6 planes -> samples
 *     split: samples -> ring of 6 planes -> planes -> rows -> subbands
 *
 * Sample s of an axis belongs to the low half where s is even. Step k adds a multiple of the sum of
 * both neighbours to every second sample. When sample s has come, steps 0 ... 3 can be applied to
 * the samples s - 1 ... s - 4, so few planes are held at a time. Images have a middle axis of one.
 *
 * Products and sums are separate operations, so that every instruction set gives the same bits.
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>

#define INLINE static inline __attribute__((always_inline))
#define STEPS 4
#define RING 6              /* planes that lifting steps still read or write */
#define REACH 3             /* pairs beyond a part, on either side, that its samples depend on */
#define CHUNK 2048          /* numbers of a plane that pass all steps while they are cached */
#define MOST_PARTS 64

/* One level of a batch of scans. */
struct lifting {
    void *low, *high, *fine;                    /* contiguous; (B, ...) as in texture/wavelet */
    int32_t low_wide, high_wide, fine_wide;     /* double where set, else float */
    int32_t merges;                             /* subbands become samples, else the reverse */
    int64_t scans, bands;
    int64_t size[3], coarse[3];                 /* samples before the split and after it */
    int32_t split[3], bit[3];                   /* axes that are split; their bit of a band's number */
    double factors[STEPS], scales[2];           /* of the steps; of the low and the high half */
    double sign;                                /* 1 or -1: whether steps are added or subtracted */
    int32_t first;                              /* 1 where step 0 changes the high half */
    int32_t whole;                              /* round every product to a whole number */
    int32_t transposed;                         /* steps are transposed at the ends */
};

/* A share of the planes, with memory of its own. */
struct part {
    const struct lifting *lifting;
    double *planes, *halves;
    int64_t begin, end;                         /* planes of the low half, of all scans in a row */
};

/* Rows of samples: sample s is at `first + (s % slots) * width`. */
struct samples {
    double *first;
    int64_t slots, width, count;
};

INLINE void add_multiple(const struct lifting *l, double *target, const double *before,
                         const double *after, double factor, int64_t count) {
    if (l->whole) {
        double sign = l->sign;
#pragma GCC ivdep
        for (int64_t n = 0; n < count; n++)
            target[n] += sign * floor((before[n] + after[n]) * factor + 0.5);
    } else {
        factor *= l->sign;
#pragma GCC ivdep
        for (int64_t n = 0; n < count; n++) target[n] += (before[n] + after[n]) * factor;
    }
}

INLINE void scale(const struct lifting *l, double *row, int high, int64_t count) {
    double factor = l->scales[high];
    if (l->whole)
        for (int64_t n = 0; n < count; n++) row[n] = floor(row[n] * factor + 0.5);
    else
        for (int64_t n = 0; n < count; n++) row[n] *= factor;
}

/* Apply step k to sample s of `count`; `before` or `after` is NULL where there is none. */
INLINE void lift(const struct lifting *l, int k, double *target, const double *before,
                 const double *after, int64_t s, int64_t count, int64_t width) {
    double factor = l->factors[k];
    if (!l->transposed) {
        add_multiple(l, target, before ? before : after, after ? after : before, factor, width);
        return;
    }
    if (before && after) add_multiple(l, target, before, after, factor, width);
    else {
        const double *only = before ? before : after;
        add_multiple(l, target, only, only, 0.5 * factor, width);
    }
    /* The first and the last sample have been read twice. */
    if (s == 1) add_multiple(l, target, before, before, 0.5 * factor, width);
    if (s == count - 2) add_multiple(l, target, after, after, 0.5 * factor, width);
}

/* Apply the steps that can be applied now that sample s has come. */
INLINE void advance(const struct lifting *l, const struct samples *x, int64_t s) {
    for (int64_t at = 0; at < x->width; at += CHUNK) {
        int64_t width = x->width - at < CHUNK ? x->width - at : CHUNK;
        for (int k = 0; k < STEPS; k++) {
            int64_t t = s - 1 - k;
            if (t < 0 || t >= x->count) continue;
            double *here = x->first + at;
            lift(l, k, here + t % x->slots * x->width,
                 t ? here + (t - 1) % x->slots * x->width : NULL,
                 t + 1 < x->count ? here + (t + 1) % x->slots * x->width : NULL, t, x->count, width);
        }
    }
}

/* True where sample s completes neighbours of samples that step 0 changes. */
INLINE int completes(const struct lifting *l, int64_t s) { return ((s + 1) & 1) == l->first; }

/* Lift a row whose low half is followed by its high half. */
INLINE void lift_row(const struct lifting *l, double *halves, int64_t count) {
    int64_t lows = (count + 1) / 2;
    double *half[2] = {halves, halves + lows};
    for (int k = 0; k < STEPS; k++) {
        int own = (l->first + k) & 1;
        double *target = half[own], *other = half[!own];
        /* From sample 2 or 3 on, up to the third but last, both neighbours count once. */
        int64_t inner = (count - 3 - own) / 2;
        if (inner > 0)
            add_multiple(l, target + 1, other + own, other + own + 1, l->factors[k], inner);
        else inner = 0;
        for (int64_t s = own; s < count; s += s == own ? 2 * inner + 2 : 2)
            lift(l, k, target + s / 2, s ? other + (s - 1) / 2 : NULL,
                 s + 1 < count ? other + (s + 1) / 2 : NULL, s, count, 1);
    }
}

INLINE void load(double *row, const void *array, int wide, int64_t at, int64_t count) {
    if (wide) {
        const double *from = (const double *)array + at;
        for (int64_t n = 0; n < count; n++) row[n] = from[n];
    } else {
        const float *from = (const float *)array + at;
        for (int64_t n = 0; n < count; n++) row[n] = from[n];
    }
}

INLINE void store(const double *row, void *array, int wide, int64_t at, int64_t count) {
    if (wide) {
        double *to = (double *)array + at;
        for (int64_t n = 0; n < count; n++) to[n] = row[n];
    } else {
        float *to = (float *)array + at;
        for (int64_t n = 0; n < count; n++) to[n] = (float)row[n];
    }
}

/* Array of a band, whether it is in double, and where row (i, j) begins in it. */
struct place { void *array; int wide; int64_t at; };

INLINE struct place place_of(const struct lifting *l, int64_t scan, int band, int64_t i, int64_t j) {
    int64_t number = band ? scan * l->bands + band - 1 : scan;
    int64_t at = ((number * l->coarse[0] + i) * l->coarse[1] + j) * l->coarse[2];
    return (struct place){band ? l->high : l->low, band ? l->high_wide : l->low_wide, at};
}

INLINE void merge_row(const struct lifting *l, int64_t scan, int band, int64_t i, int64_t j,
                      double *row, double *halves) {
    int64_t count = l->size[2], lows = l->coarse[2], highs = count - lows;
    struct place low = place_of(l, scan, band, i, j);
    if (!l->split[2]) {
        load(row, low.array, low.wide, low.at, count);
        return;
    }
    struct place high = place_of(l, scan, band | l->bit[2], i, j);
    load(halves, low.array, low.wide, low.at, lows);
    load(halves + lows, high.array, high.wide, high.at, highs);
    scale(l, halves, 0, lows);
    scale(l, halves + lows, 1, highs);
    lift_row(l, halves, count);
    const double *odd = halves + lows;
#pragma GCC ivdep
    for (int64_t n = 0; n < highs; n++) {
        row[2 * n] = halves[n];
        row[2 * n + 1] = odd[n];
    }
    if (lows > highs) row[2 * highs] = halves[highs];
}

INLINE void split_row(const struct lifting *l, int64_t scan, int band, int64_t i, int64_t j,
                      const double *row, double *halves) {
    int64_t count = l->size[2], lows = l->coarse[2], highs = count - lows;
    struct place low = place_of(l, scan, band, i, j);
    if (!l->split[2]) {
        store(row, low.array, low.wide, low.at, count);
        return;
    }
    double *odd = halves + lows;
#pragma GCC ivdep
    for (int64_t n = 0; n < highs; n++) {
        halves[n] = row[2 * n];
        odd[n] = row[2 * n + 1];
    }
    if (lows > highs) halves[highs] = row[2 * highs];
    lift_row(l, halves, count);
    scale(l, halves, 0, lows);
    scale(l, odd, 1, highs);
    struct place high = place_of(l, scan, band | l->bit[2], i, j);
    store(halves, low.array, low.wide, low.at, lows);
    store(odd, high.array, high.wide, high.at, highs);
}

/* Make a plane of the first axis from its subbands. */
INLINE void merge_plane(const struct lifting *l, int64_t scan, int band, int64_t i, double *plane,
                        double *halves) {
    int64_t count = l->size[1], width = l->size[2];
    struct samples rows = {plane, count, width, count};
    if (!l->split[1]) {
        for (int64_t s = 0; s < count; s++)
            merge_row(l, scan, band, i, s, plane + s * width, halves);
        return;
    }
    for (int64_t s = 0; s < count + STEPS; s++) {
        if (s < count) {
            int high = (int)(s & 1);
            merge_row(l, scan, band | (high ? l->bit[1] : 0), i, s / 2, plane + s * width, halves);
            scale(l, plane + s * width, high, width);
        }
        if (completes(l, s)) advance(l, &rows, s);
    }
}

/* Split a plane of the first axis into its subbands; the plane is overwritten. */
INLINE void split_plane(const struct lifting *l, int64_t scan, int band, int64_t i, double *plane,
                        double *halves) {
    int64_t count = l->size[1], width = l->size[2];
    struct samples rows = {plane, count, width, count};
    if (!l->split[1]) {
        for (int64_t s = 0; s < count; s++)
            split_row(l, scan, band, i, s, plane + s * width, halves);
        return;
    }
    for (int64_t s = 0; s < count + RING; s++) {
        if (completes(l, s)) advance(l, &rows, s);
        /* After the steps of s or of s - 1, no step changes or reads this row. */
        int64_t t = s - RING;
        if (t < 0) continue;
        int high = (int)(t & 1);
        scale(l, plane + t * width, high, width);
        split_row(l, scan, band | (high ? l->bit[1] : 0), i, t / 2, plane + t * width, halves);
    }
}

/* A plane comes: read, or made from its subbands. */
INLINE void take(const struct lifting *l, int64_t scan, int64_t s, double *plane, double *halves) {
    int64_t size = l->size[1] * l->size[2];
    int high = l->split[0] ? (int)(s & 1) : 0;
    if (!l->merges) {
        load(plane, l->fine, l->fine_wide, (scan * l->size[0] + s) * size, size);
        return;
    }
    merge_plane(l, scan, high ? l->bit[0] : 0, l->split[0] ? s / 2 : s, plane, halves);
    if (l->split[0]) scale(l, plane, high, size);
}

/* A plane that has passed all steps goes: stored, or split into its subbands. */
INLINE void give(const struct lifting *l, int64_t scan, int64_t s, double *plane, double *halves) {
    int64_t size = l->size[1] * l->size[2];
    int high = l->split[0] ? (int)(s & 1) : 0;
    if (l->merges) {
        store(plane, l->fine, l->fine_wide, (scan * l->size[0] + s) * size, size);
        return;
    }
    if (l->split[0]) scale(l, plane, high, size);
    split_plane(l, scan, high ? l->bit[0] : 0, l->split[0] ? s / 2 : s, plane, halves);
}

/* Transform the planes from `begin` to `end` of the low half of a scan. */
INLINE void transform(const struct lifting *l, const struct part *p, int64_t scan, int64_t begin,
                      int64_t end) {
    int64_t size = l->size[1] * l->size[2];
    if (!l->split[0]) {
        for (int64_t s = begin; s < end; s++) {
            take(l, scan, s, p->planes, p->halves);
            give(l, scan, s, p->planes, p->halves);
        }
        return;
    }
    int64_t first = begin > REACH ? 2 * (begin - REACH) : 0, last = 2 * (end + REACH);
    if (last > l->size[0]) last = l->size[0];
    struct samples planes = {p->planes, RING, size, last - first};
    for (int64_t s = first; s < last + RING; s++) {
        /* After the steps of s - 1, no step changes or reads the plane whose slot is next. */
        int64_t gone = s - RING;
        if (gone >= 2 * begin && gone < 2 * end && gone < last)
            give(l, scan, gone, p->planes + (gone - first) % RING * size, p->halves);
        if (s < last) take(l, scan, s, p->planes + (s - first) % RING * size, p->halves);
        if (completes(l, s - first)) advance(l, &planes, s - first);
    }
}

INLINE void transform_part(const struct part *p) {
    int64_t planes = p->lifting->coarse[0];
    for (int64_t at = p->begin; at < p->end;) {
        int64_t scan = at / planes, end = (scan + 1) * planes;
        if (end > p->end) end = p->end;
        transform(p->lifting, p, scan, at - scan * planes, end - scan * planes);
        at = end;
    }
}

static void part_plain(const struct part *p) { transform_part(p); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void part_256(const struct part *p) { transform_part(p); }
#endif

static void transform_parts(const void *context, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
        const struct part *p = (const struct part *)context + n;
#if defined(__x86_64__)
        if (best_instructions() >= AVX2) { part_256(p); continue; }
#endif
        part_plain(p);
    }
}

/* Split or merge one level of some scans. */
API int lift_level(const struct lifting *l, int threads) {
    struct part parts[MOST_PARTS];
    int64_t planes = l->scans * l->coarse[0];
    int64_t room = (l->split[0] ? RING : 1) * l->size[1] * l->size[2] + l->size[2];
    int64_t count = threads < 1 ? 1 : threads > MOST_PARTS ? MOST_PARTS : threads;
    if (count > planes) count = planes;
    double *memory = malloc((size_t)(count * room) * sizeof *memory);
    if (!memory) return OUT_OF_MEMORY;
    for (int64_t n = 0; n < count; n++) {
        double *own = memory + n * room;
        parts[n] = (struct part){l, own + l->size[2], own, planes * n / count,
                                 planes * (n + 1) / count};
    }
    run_shared(transform_parts, parts, count, (int)count);
    free(memory);
    return OK;
}
