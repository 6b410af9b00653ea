/* Range coder: symbols <-> bytes.
 *
 *     scale index, quantiser -> table of cumulative frequencies (2^24 in all)
 *     symbol = high part (table) . low bits (uniform) . escape (Elias gamma) -> 32-bit words
 *
 * The stream is that of `constriction`'s RangeEncoder (32-bit words, 64-bit state, 24-bit
 * frequencies), which stays the reference. Algorithm: Martin 1979; carries as in Bamler 2022.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#define PRECISION 24
#define ESCAPE_BITS 40
#define ESCAPE_LENGTH_BITS 6
/* A stream of more bytes is not trimmed. */
#define TRIM_LIMIT 8192
#define CHECKPOINT_EVERY 64
/* A decoder has read two words beyond its position; one word is spare. */
#define READ_AHEAD 3
#define QUANTIZERS 3
#define SCALES 64
#define KINDS (SCALES * QUANTIZERS)

/* Tables of one bundle, in arrays that the Python side keeps. */
struct tables {
    const uint32_t *cumulative;  /* every table: entries + 1 numbers, from 0 to 2^24 */
    const int32_t *begin;        /* [KINDS] where the table of a kind begins in `cumulative` */
    const int32_t *entries;      /* [KINDS] */
    const int32_t *radius;       /* [KINDS] largest magnitude of a high part */
    const int32_t *low_bits;     /* [KINDS] */
    const int32_t *first;        /* [KINDS][256] entry that holds the quantile n << 16 */
};

struct interval { uint32_t left, width; };
struct checkpoint { size_t entry, words; uint64_t lower, range; };

struct encoder {
    uint64_t lower, range;
    uint32_t *words;
    size_t count, room;
    size_t inverted;             /* words that a carry may still change */
    uint32_t first_inverted;
    struct interval *log;        /* what was coded, while the stream is short */
    size_t logged, log_room;
    struct checkpoint *marks;
    size_t marked, mark_room;
    int failed;
};

static int grow(void **memory, size_t *room, size_t needed, size_t size) {
    if (needed <= *room) return 1;
    size_t wanted = *room ? 2 * *room : 256;
    if (wanted < needed) wanted = needed;
    void *larger = realloc(*memory, wanted * size);
    if (!larger) return 0;
    *memory = larger;
    *room = wanted;
    return 1;
}

API struct encoder *encoder_new(void) {
    struct encoder *e = calloc(1, sizeof *e);
    if (e) e->range = UINT64_MAX;
    return e;
}

API void encoder_free(struct encoder *e) {
    if (!e) return;
    free(e->words);
    free(e->log);
    free(e->marks);
    free(e);
}

static void write_word(struct encoder *e, uint32_t word) {
    if (!grow((void **)&e->words, &e->room, e->count + 1, sizeof *e->words)) {
        e->failed = 1;
        return;
    }
    e->words[e->count++] = word;
}

static void settle_carry(struct encoder *e, int carry) {
    write_word(e, e->first_inverted + (carry ? 1 : 0));
    for (size_t n = 1; n < e->inverted; n++) write_word(e, carry ? 0 : UINT32_MAX);
    e->inverted = 0;
}

static void note(struct encoder *e, uint32_t left, uint32_t width) {
    size_t words = e->count + e->inverted;
    if (words * 4 > TRIM_LIMIT) return;
    if (!grow((void **)&e->log, &e->log_room, e->logged + 1, sizeof *e->log)) {
        e->failed = 1;
        return;
    }
    if (e->logged % CHECKPOINT_EVERY == 0) {
        if (!grow((void **)&e->marks, &e->mark_room, e->marked + 1, sizeof *e->marks)) {
            e->failed = 1;
            return;
        }
        e->marks[e->marked++] = (struct checkpoint){e->logged, words, e->lower, e->range};
    }
    e->log[e->logged++] = (struct interval){left, width};
}

static void put(struct encoder *e, uint32_t left, uint32_t width) {
    note(e, left, width);
    uint64_t scale = e->range >> PRECISION;
    e->range = scale * width;
    uint64_t lower = e->lower + scale * left;
    if (e->inverted && lower + e->range > lower) settle_carry(e, lower < e->lower);
    e->lower = lower;
    if (e->range >> 32 == 0) {
        uint32_t word = (uint32_t)(e->lower >> 32);
        e->lower <<= 32;
        e->range <<= 32;
        if (e->inverted) {
            e->inverted++;
        } else if (e->lower + e->range > e->lower) {
            write_word(e, word);
        } else {
            e->inverted = 1;
            e->first_inverted = word;
        }
    }
}

static void put_bits(struct encoder *e, uint32_t value, int bits) {
    put(e, value << (PRECISION - bits), 1u << (PRECISION - bits));
}

static int bit_length(uint64_t x) {
    int n = 0;
    while (x) { n++; x >>= 1; }
    return n;
}

/* Sign, then the excess magnitude as an Elias gamma code. */
static int put_escape(struct encoder *e, int64_t value, int32_t radius) {
    uint64_t excess = (uint64_t)(value < 0 ? -value : value) - (uint64_t)radius;
    int bits = bit_length(excess);
    if (bits > ESCAPE_BITS) return TOO_LARGE;
    put_bits(e, value < 0, 1);
    put_bits(e, (uint32_t)bits, ESCAPE_LENGTH_BITS);
    for (int shift = bits - 2; shift >= 0; shift--) put_bits(e, (excess >> shift) & 1, 1);
    return OK;
}

/* Stable counting sort of the positions from `begin` to `end` by kind. */
static void sort_by_kind(const uint8_t *kinds, size_t begin, size_t end, size_t *order,
                         size_t *bounds) {
    memset(bounds, 0, (KINDS + 1) * sizeof *bounds);
    for (size_t n = begin; n < end; n++) bounds[kinds[n] + 1]++;
    for (int k = 0; k < KINDS; k++) bounds[k + 1] += bounds[k];
    size_t next[KINDS];
    memcpy(next, bounds, sizeof next);
    for (size_t n = begin; n < end; n++) order[next[kinds[n]]++] = n;
}

static int64_t floor_shift(int64_t x, int bits) {
    return x >= 0 ? x >> bits : -((-x + ((INT64_C(1) << bits) - 1)) >> bits);
}

/* Encode `count` symbols, those of one kind after each other within each `lanes` symbols. */
API int encoder_encode(struct encoder *e, const struct tables *t, const int64_t *symbols,
                       const uint8_t *kinds, size_t count, size_t lanes) {
    size_t bounds[KINDS + 1];
    size_t step = lanes ? lanes : count;
    size_t *order = malloc((step ? step : 1) * sizeof *order);
    if (!order) return OUT_OF_MEMORY;
    int result = OK;
    for (size_t begin = 0; begin < count && result == OK; begin += step) {
        size_t end = count - begin < step ? count : begin + step;
        sort_by_kind(kinds, begin, end, order, bounds);
        for (int k = 0; k < KINDS && result == OK; k++) {
            const uint32_t *cumulative = t->cumulative + t->begin[k];
            int32_t radius = t->radius[k], low = t->low_bits[k];
            int escapes = 0;
            for (size_t n = bounds[k]; n < bounds[k + 1]; n++) {
                int64_t high = floor_shift(symbols[order[n]], low);
                int escaped = high > radius || high < -radius;
                int32_t entry = escaped ? 0 : (int32_t)high + radius + 1;
                escapes |= escaped;
                put(e, cumulative[entry], cumulative[entry + 1] - cumulative[entry]);
            }
            if (low)
                for (size_t n = bounds[k]; n < bounds[k + 1]; n++)
                    put_bits(e, (uint32_t)symbols[order[n]] & ((1u << low) - 1), low);
            for (size_t n = bounds[k]; escapes && n < bounds[k + 1] && result == OK; n++) {
                int64_t high = floor_shift(symbols[order[n]], low);
                if (high > radius || high < -radius) result = put_escape(e, high, radius);
            }
        }
    }
    free(order);
    return e->failed ? OUT_OF_MEMORY : result;
}

API int encoder_put(struct encoder *e, uint32_t left, uint32_t width) {
    put(e, left, width);
    return e->failed ? OUT_OF_MEMORY : OK;
}

struct decoder {
    uint64_t lower, range, point;
    const uint8_t *data;
    size_t size, at;             /* bytes read so far; zeros follow the last one */
};

static uint32_t next_word(struct decoder *d) {
    uint32_t word = 0;
    for (int n = 0; n < 4; n++, d->at++) word = word << 8 | (d->at < d->size ? d->data[d->at] : 0);
    return word;
}

static void begin_at(struct decoder *d, const uint8_t *data, size_t size, size_t word,
                     uint64_t lower, uint64_t range) {
    *d = (struct decoder){lower, range, 0, data, size, 4 * word};
    d->point = (uint64_t)next_word(d) << 32;
    d->point |= next_word(d);
}

static int take(struct decoder *d, uint32_t *quantile, uint64_t *scale) {
    *scale = d->range >> PRECISION;
    uint64_t found = (d->point - d->lower) / *scale;
    if (found >> PRECISION) return DAMAGED;
    *quantile = (uint32_t)found;
    return OK;
}

static void advance(struct decoder *d, uint64_t scale, uint32_t left, uint32_t width) {
    d->lower += scale * left;
    d->range = scale * width;
    if (d->range >> 32 == 0) {
        d->lower <<= 32;
        d->range <<= 32;
        d->point = d->point << 32 | next_word(d);
    }
}

static int get_bits(struct decoder *d, int bits, uint32_t *value) {
    uint32_t quantile;
    uint64_t scale;
    if (take(d, &quantile, &scale)) return DAMAGED;
    *value = quantile >> (PRECISION - bits);
    advance(d, scale, *value << (PRECISION - bits), 1u << (PRECISION - bits));
    return OK;
}

static int get_escape(struct decoder *d, int32_t radius, int64_t *value) {
    uint32_t negative, bits, bit;
    if (get_bits(d, 1, &negative) || get_bits(d, ESCAPE_LENGTH_BITS, &bits)) return DAMAGED;
    if (bits < 1 || bits > ESCAPE_BITS) return DAMAGED;
    uint64_t excess = 1;
    for (uint32_t n = 1; n < bits; n++) {
        if (get_bits(d, 1, &bit)) return DAMAGED;
        excess = excess << 1 | bit;
    }
    *value = (int64_t)excess + radius;
    if (negative) *value = -*value;
    return OK;
}

API struct decoder *decoder_new(const uint8_t *data, size_t size) {
    struct decoder *d = malloc(sizeof *d);
    if (d) begin_at(d, data, size, 0, 0, UINT64_MAX);
    return d;
}

API void decoder_free(struct decoder *d) { free(d); }

static int get_kind(struct decoder *d, const struct tables *t, int k, const size_t *order,
                    size_t count, int64_t *symbols) {
    const uint32_t *cumulative = t->cumulative + t->begin[k];
    const int32_t *first = t->first + 256 * k;
    int32_t radius = t->radius[k], low = t->low_bits[k];
    int escapes = 0;
    for (size_t n = 0; n < count; n++) {
        uint32_t quantile;
        uint64_t scale;
        if (take(d, &quantile, &scale)) return DAMAGED;
        int32_t entry = first[quantile >> 16];
        while (cumulative[entry + 1] <= quantile) entry++;
        advance(d, scale, cumulative[entry], cumulative[entry + 1] - cumulative[entry]);
        escapes |= entry == 0;
        symbols[order[n]] = entry ? (int64_t)entry - radius - 1 : INT64_MIN;
    }
    /* Low bits of the whole run come before the run's escapes; `extra` holds them till then. */
    uint32_t *extra = NULL;
    if (low) {
        extra = malloc(count * sizeof *extra);
        if (!extra) return OUT_OF_MEMORY;
        for (size_t n = 0; n < count; n++)
            if (get_bits(d, low, &extra[n])) { free(extra); return DAMAGED; }
    }
    for (size_t n = 0; escapes && n < count; n++)
        if (symbols[order[n]] == INT64_MIN && get_escape(d, radius, &symbols[order[n]])) {
            free(extra);
            return DAMAGED;
        }
    for (size_t n = 0; low && n < count; n++)
        symbols[order[n]] = symbols[order[n]] * (INT64_C(1) << low) + extra[n];
    free(extra);
    return OK;
}

static int get_sorted(struct decoder *d, const struct tables *t, const uint8_t *kinds, size_t begin,
                      size_t end, size_t *order, int64_t *symbols) {
    size_t bounds[KINDS + 1];
    sort_by_kind(kinds, begin, end, order, bounds);
    for (int k = 0; k < KINDS; k++) {
        size_t count = bounds[k + 1] - bounds[k];
        if (!count) continue;
        int result = get_kind(d, t, k, order + bounds[k], count, symbols);
        if (result) return result;
    }
    return OK;
}

/* Decode `count` symbols of known kinds. */
API int decoder_decode(struct decoder *d, const struct tables *t, const uint8_t *kinds, size_t count,
                       int64_t *symbols) {
    size_t *order = malloc((count ? count : 1) * sizeof *order);
    if (!order) return OUT_OF_MEMORY;
    int result = get_sorted(d, t, kinds, 0, count, order, symbols);
    free(order);
    return result;
}

/* Decode symbols in lanes, each from state 0: the state says which quantiser comes next.
 *
 *     next[32][2]: state after a symbol's parity; quantiser = 1 + (state & 1)
 */
API int decoder_walk(struct decoder *d, const struct tables *t, const uint8_t *scales, size_t count,
                     size_t lanes, const uint8_t *next, int64_t *symbols, uint8_t *quantizers) {
    uint8_t *state = calloc(lanes, 1), *kinds = malloc(count ? count : 1);
    size_t *order = malloc(lanes * sizeof *order);
    int result = state && kinds && order ? OK : OUT_OF_MEMORY;
    for (size_t begin = 0; begin < count && result == OK; begin += lanes) {
        size_t end = count - begin < lanes ? count : begin + lanes;
        for (size_t n = begin; n < end; n++) {
            quantizers[n] = 1 + (state[n - begin] & 1);
            kinds[n] = (uint8_t)(scales[n] * QUANTIZERS + quantizers[n]);
        }
        result = get_sorted(d, t, kinds, begin, end, order, symbols);
        for (size_t n = begin; n < end && result == OK; n++)
            state[n - begin] = next[2 * state[n - begin] + (symbols[n] & 1)];
    }
    free(state);
    free(kinds);
    free(order);
    return result;
}

/* Decode an entry of a table of `entries` + 1 cumulative frequencies; negative when damaged. */
API int decoder_get(struct decoder *d, const uint32_t *cumulative, int entries) {
    uint32_t quantile;
    uint64_t scale;
    if (take(d, &quantile, &scale)) return DAMAGED;
    int entry = 0;
    while (entry + 1 < entries && cumulative[entry + 1] <= quantile) entry++;
    advance(d, scale, cumulative[entry], cumulative[entry + 1] - cumulative[entry]);
    return entry;
}

static size_t sealed(const struct encoder *e, uint8_t *out, size_t room) {
    struct encoder copy = *e;
    uint32_t tail[2];
    size_t ends = 0, words = e->count;
    if (e->range == UINT64_MAX) return 0;
    uint64_t point = e->lower + UINT32_MAX;
    int carry = point < e->lower;
    uint32_t word = (uint32_t)(point >> 32), upper = (uint32_t)((e->lower + e->range) >> 32);
    tail[ends++] = word;
    if (upper == word) tail[ends++] = 0;
    size_t size = 4 * (words + copy.inverted + ends);
    if (size > room) return size;
    for (size_t n = 0; n < words + copy.inverted + ends; n++) {
        uint32_t w;
        if (n < words) w = e->words[n];
        else if (n == words && copy.inverted) w = e->first_inverted + (carry ? 1 : 0);
        else if (n < words + copy.inverted) w = carry ? 0 : UINT32_MAX;
        else w = tail[n - words - copy.inverted];
        for (int b = 0; b < 4; b++) out[4 * n + b] = (uint8_t)(w >> (24 - 8 * b));
    }
    return size;
}

/* Whether a changed end still decodes to what was coded. */
static int decodes(const struct encoder *e, const uint8_t *data, size_t size, const uint8_t *whole,
                   size_t whole_size) {
    size_t same = 0;
    while (same < whole_size && (same < size ? data[same] : 0) == whole[same]) same++;
    same /= 4;
    size_t mark = 0;
    while (mark + 1 < e->marked && e->marks[mark + 1].words + READ_AHEAD <= same) mark++;
    if (!e->marked) return 1;
    struct checkpoint from = e->marks[mark];
    if (mark == 0) from = (struct checkpoint){0, 0, 0, UINT64_MAX};
    struct decoder d;
    begin_at(&d, data, size, from.words, from.lower, from.range);
    for (size_t n = from.entry; n < e->logged; n++) {
        uint32_t quantile;
        uint64_t scale;
        if (take(&d, &quantile, &scale)) return 0;
        if (quantile - e->log[n].left >= e->log[n].width) return 0;
        advance(&d, scale, e->log[n].left, e->log[n].width);
    }
    return 1;
}

static int raise_by_one(uint8_t *data, size_t size) {
    for (size_t n = size; n-- > 0;)
        if (++data[n]) return 1;
    return 0;
}

/* Bytes of the stream, in `out` where they fit; a short stream is cut to the fewest bytes.
 *
 * Drops tail bytes that a decoder reading zeros in their place does not need.
 */
API size_t encoder_finish(const struct encoder *e, uint8_t *out, size_t room) {
    size_t size = sealed(e, out, room);
    if (size > room || size > TRIM_LIMIT || !size) return size;
    uint8_t whole[TRIM_LIMIT], tried[TRIM_LIMIT];
    memcpy(whole, out, size);
    size_t low = size > 8 ? size - 8 : 0, high = size;
    while (low < high) {
        size_t keep = (low + high) / 2;
        memcpy(tried, whole, keep);
        int found = decodes(e, tried, keep, whole, size);
        if (!found) {
            raise_by_one(tried, keep);
            found = decodes(e, tried, keep, whole, size);
        }
        if (found) {
            memcpy(out, tried, keep);
            high = keep;
        } else {
            low = keep + 1;
        }
    }
    while (high && !out[high - 1]) high--;
    return high;
}
