/* Decisions <-> bytes: a binary arithmetic coder without carries (as in lpaq, Mahoney 2005). */
#ifndef DEEPSTD_LOSSLESS_BITS_H
#define DEEPSTD_LOSSLESS_BITS_H

#include "lossless.h"

#include <stdlib.h>

#define FINEST 65536         /* probabilities are multiples of its inverse */

struct bits {
    uint32_t low, high, word;
    struct slab *slab;
    uint64_t at;             /* bytes read or written */
    int decoding, failed;
};

INLINE void write_byte(struct bits *b, uint8_t byte) {
    struct slab *s = b->slab;
    if (b->at == s->room) {
        uint64_t wanted = s->room ? 2 * s->room : 4096;
        uint8_t *larger = b->failed ? NULL : realloc(s->bytes, wanted);
        if (!larger) {
            b->failed = 1;
            return;
        }
        s->bytes = larger;
        s->room = wanted;
    }
    s->bytes[b->at++] = byte;
}

/* The next byte; zeros follow the last one, as the encoder leaves them out. */
INLINE uint8_t read_byte(struct bits *b) {
    uint8_t byte = b->at < b->slab->size ? b->slab->bytes[b->at] : 0;
    b->at++;
    return byte;
}

INLINE void begin_bits(struct bits *b, struct slab *s, int decoding) {
    *b = (struct bits){0, UINT32_MAX, 0, s, 0, decoding, 0};
    for (int n = 0; decoding && n < 4; n++) b->word = b->word << 8 | read_byte(b);
}

/* Code a decision that is 1 with the given probability; return it. */
INLINE int code_bit(struct bits *b, double probability, int bit) {
    int32_t share = (int32_t)(probability * FINEST);
    if (share < 1) share = 1;
    if (share > FINEST - 1) share = FINEST - 1;
    uint32_t middle = b->low + (uint32_t)((uint64_t)(b->high - b->low) * (uint32_t)share / FINEST);
    if (b->decoding) bit = b->word <= middle;
    if (bit) b->high = middle;
    else b->low = middle + 1;
    while ((b->low ^ b->high) >> 24 == 0) {
        if (b->decoding) b->word = b->word << 8 | read_byte(b);
        else write_byte(b, (uint8_t)(b->high >> 24));
        b->low <<= 8;
        b->high = b->high << 8 | 255;
    }
    return bit;
}

/* Write a byte that lies in the last interval, zeros following, and leave out zeros at the end. */
INLINE void end_bits(struct bits *b) {
    write_byte(b, (uint8_t)(b->high >> 24));
    if (b->failed) return;
    while (b->at && b->slab->bytes[b->at - 1] == 0) b->at--;
    b->slab->size = b->at;
}

#endif
