/* The native engine: integers in, integers out, the same on every machine.
 *
 *     range_coder.c   symbols <-> bytes
 *     trellis.c       residuals -> symbols, by the Viterbi algorithm
 *     passes.c        output of the context model <-> coefficients, pass by pass
 *     convolution.c   activations -> activations, by 16-bit products and 32-bit sums
 *
 * Every function is called through ctypes, which releases the interpreter's lock. No function
 * keeps global state. Sizes and indices are checked by the Python side; data from a file is
 * checked here, and refused with a negative result.
 */
#ifndef DEEPSTD_ENGINE_H
#define DEEPSTD_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif

/* Raised whenever a signature changes; the Python side refuses a library of another number. */
#define ENGINE_INTERFACE 1

enum result { OK = 0, OUT_OF_MEMORY = -1, DAMAGED = -2, TOO_LARGE = -3 };

enum instructions { PLAIN_C = 0, AVX2 = 1, AVX512_VNNI = 2 };

/* Best instruction set of this CPU. */
int best_instructions(void);

struct encoder;
struct decoder;
struct tables;

API int encoder_encode(struct encoder *e, const struct tables *t, const int64_t *symbols,
                       const uint8_t *kinds, size_t count, size_t lanes);
API int decoder_decode(struct decoder *d, const struct tables *t, const uint8_t *kinds,
                       size_t count, int64_t *symbols);
API int decoder_walk(struct decoder *d, const struct tables *t, const uint8_t *scales,
                     size_t count, size_t lanes, const uint8_t *next, int64_t *symbols,
                     uint8_t *quantizers);
API int decoder_get(struct decoder *d, const uint32_t *cumulative, int entries);
API int trellis_search(const double *points, const uint8_t *scales, size_t count, size_t lanes,
                       const float *bits, float weight, const uint8_t *before,
                       const uint8_t *taken, int64_t *symbols, uint8_t *quantizers);
API void pass_requantize(const double *aims, const uint8_t *scales, int64_t count,
                         const float *savings, float weight, int64_t *symbols);

#endif
