/* The native engine: integers in, integers out, the same on every machine.
 *
 *     tile.c          a tile of a level <-> its part of a stream
 *       features.c    subbands that are known -> features
 *       context.c     features -> output of the context model, by convolution.c
 *       passes.c      output of the model <-> coefficients, pass by pass
 *         offsets.c     scale offsets of bands
 *         trellis.c     residuals -> symbols, by the Viterbi algorithm
 *         range_coder.c symbols <-> bytes
 *     lifting.c       samples <-> subbands of the wavelet
 *     motion.c        two slices -> the slice half way between them
 *     lossless.c      a slab of a scan <-> bytes, exactly
 *     postfilter.c    a window of a scan -> restored values, or their gradient
 *       winograd.c      layers of the blocks, by float_convolution.c
 *     wiener.c        restored values -> filtered values
 *     window.c        values -> means of the windows around them
 *
 * Every function is called through ctypes, which releases the interpreter's lock. Only
 * `engine_limit` keeps global state, when the library is loaded. Sizes and indices are checked by the Python side; data from a file is
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
#define ENGINE_INTERFACE 10

enum result { OK = 0, OUT_OF_MEMORY = -1, DAMAGED = -2, TOO_LARGE = -3 };

enum instructions { PLAIN_C = 0, AVX2 = 1, AVX512_VNNI = 2 };

/* Best instruction set of this CPU within the limit; plain C until a limit is set. */
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
                       const float *bits, const float *weights, const uint8_t *before,
                       const uint8_t *taken, int64_t *symbols, uint8_t *quantizers);
API int encoder_put(struct encoder *e, uint32_t left, uint32_t width);

/* Call `work` for equal shares of 0 ... count, each in a thread. */
typedef void shared_work(const void *context, int64_t begin, int64_t end);
void run_shared(shared_work *work, const void *context, int64_t count, int threads);

#endif
