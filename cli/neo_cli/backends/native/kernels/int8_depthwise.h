#include "int8.h"
/* Depthwise convolution of blocked 8-bit images. Four taps of each channel are brought together and added at once; a vector
 * holds Q_GROUP pixels of 16 channels, and their sums are in four vectors of four channels each. */
struct qdepthwise {
    idx in_image, in_block, in_row, out_image, out_block, out_row;
    int images, blocks, height, width;
    struct qfinish finish;
    const idx *tap;
};
#ifdef Q_WIDE
Q_VECTOR(int16_t, 32, h16);
ALWAYS void qdepthwise_pixels(const struct qfinish *f, const idx *tap, const q8 *in, const int8_t *w, const int32_t *bias,
                              const float *factor, q8 *out, int count, const int TAPS, const int PITCH) {
    qi16 acc = *(const qi16 *)bias;
#pragma clang loop unroll(full)
    for (int t = 0; t < TAPS; t++)
        acc += __builtin_convertvector(__builtin_convertvector(*(const q16 *)(in + tap[t]), h16), qi16) *
               __builtin_convertvector(((const h16 *)w)[t], qi16);
    *(qb *)out = q_finish(f, (const qi *)&acc, (const qf *)factor, 0);
}
#else
/* In each 128-bit lane: the low (high) halves of two vectors, element by element in turn. */
#if QW == 4
#define Q_LANES(M, S, N) M(0, N)
#elif QW == 8
#define Q_LANES(M, S, N) M(0, N), M(S, N)
#else
#define Q_LANES(M, S, N) M(0, N), M(S, N), M(2 * S, N), M(3 * S, N)
#endif
#define Q_TURN4(L, N) L, L + N, L + 1, L + 1 + N, L + 2, L + 2 + N, L + 3, L + 3 + N
#define Q_LOW8(L, N) Q_TURN4(L, N), Q_TURN4(L + 4, N)
#define Q_HIGH8(L, N) Q_TURN4(L + 8, N), Q_TURN4(L + 12, N)
#define Q_LOW16(L, N) Q_TURN4(L, N)
#define Q_HIGH16(L, N) Q_TURN4(L + 4, N)
#define Q_BYTES(A, B, M) __builtin_shufflevector(A, B, Q_LANES(M, 16, QW * 4))
#define Q_WORDS(A, B, M) __builtin_shufflevector((qu16)(A), (qu16)(B), Q_LANES(M, 8, QW * 2))

/* Q_GROUP pixels PITCH bytes apart; from the `count`th on the last one again. */
ALWAYS qb q_pixels(const q8 *p, int count, const int PITCH) {
    if (count >= Q_GROUP && (PITCH == QB || Q_GROUP == 1)) return *(const qb *)p;
#if QW == 4
    return *(const qb *)p;
#elif QW == 8
    const q16 a = *(const q16 *)p, b = *(const q16 *)(p + MIN(1, count - 1) * PITCH);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
                                   24, 25, 26, 27, 28, 29, 30, 31);
#else
    q16 parts[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) parts[i] = *(const q16 *)(p + MIN(i, count - 1) * PITCH);
    return *(const qb *)parts;
#endif
}
ALWAYS void qdepthwise_pixels(const struct qfinish *f, const idx *tap, const q8 *in, const int8_t *w, const int32_t *bias,
                              const float *factor, q8 *out, int count, const int TAPS, const int PITCH) {
    qi acc[4];
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) acc[k] = q_load(bias + k * QW);
#pragma clang loop unroll(full)
    for (int t = 0; t < TAPS; t += 4) {
        const qb a = q_pixels(in + tap[t], count, PITCH); /* weights of taps that are not there are zero */
        const qb b = t + 1 < TAPS ? q_pixels(in + tap[MIN(t + 1, TAPS - 1)], count, PITCH) : a;
        const qb d = t + 2 < TAPS ? q_pixels(in + tap[MIN(t + 2, TAPS - 1)], count, PITCH) : a;
        const qb e = t + 3 < TAPS ? q_pixels(in + tap[MIN(t + 3, TAPS - 1)], count, PITCH) : a;
        const qb l = Q_BYTES(a, b, Q_LOW8), h = Q_BYTES(a, b, Q_HIGH8), m = Q_BYTES(d, e, Q_LOW8), n = Q_BYTES(d, e, Q_HIGH8);
        const qi quads[4] = {(qi)Q_WORDS(l, m, Q_LOW16), (qi)Q_WORDS(l, m, Q_HIGH16), (qi)Q_WORDS(h, n, Q_LOW16),
                             (qi)Q_WORDS(h, n, Q_HIGH16)};
#pragma clang loop unroll(full)
        for (int k = 0; k < 4; k++) acc[k] = q_dot(acc[k], q_quads(quads[k]), w + (t + k) * (Q_STEP / QN));
    }
    const qb bytes = q_finish(f, acc, (const qf *)factor, 0);
    if (count >= Q_GROUP) *(qb *)out = bytes;
    else
        for (int i = 0; i < count * QB; i++) out[i] = bytes[i];
}
#endif
#define QDEPTHWISE(NAME, TAPS, PITCH)                                                                                 \
    NEVER void NAME(const struct qdepthwise *c, const struct frame *f, const q8 *in, const int8_t *w,                 \
                    const int32_t *bias, const float *factor, q8 *out) {                                              \
        const struct qfinish finish = c->finish; /* copies: stores of bytes may change what lies behind a pointer */  \
        idx tap[TAPS];                                                                                                \
        for (int t = 0; t < TAPS; t++) tap[t] = c->tap[t];                                                            \
        SPLIT((idx)c->images * c->blocks * c->height);                                                                \
        for (idx unit = begin; unit < end; unit++) {                                                                  \
            const int y = unit % c->height, block = unit / c->height % c->blocks, image = unit / c->height / c->blocks; \
            const q8 *s = in + image * c->in_image + block * c->in_block + y * c->in_row;                             \
            const int8_t *k = w + block * QDEPTHWISE_WEIGHTS(TAPS);                                                   \
            const int32_t *b = bias + block * (QB * Q_GROUP);                                                         \
            const float *m = factor + block * (QB * Q_GROUP);                                                         \
            q8 *o = out + image * c->out_image + block * c->out_block + y * c->out_row;                               \
            int x = 0;                                                                                                \
            for (; x + Q_GROUP <= c->width; x += Q_GROUP)                                                             \
                qdepthwise_pixels(&finish, tap, s + (idx)x * PITCH, k, b, m, o + (idx)x * QB, Q_GROUP, TAPS, PITCH);  \
            if (x < c->width && c->width >= Q_GROUP) { /* the last ones once more, rather than fewer */               \
                x = c->width - Q_GROUP;                                                                               \
                qdepthwise_pixels(&finish, tap, s + (idx)x * PITCH, k, b, m, o + (idx)x * QB, Q_GROUP, TAPS, PITCH);  \
            } else if (x < c->width) {                                                                                \
                qdepthwise_pixels(&finish, tap, s, k, b, m, o, c->width, TAPS, PITCH);                                \
            }                                                                                                         \
        }                                                                                                             \
    }
#ifdef Q_WIDE
#define QDEPTHWISE_WEIGHTS(TAPS) ((idx)(TAPS + 3) / 4 * 4 * QB * 2)
#else
#define QDEPTHWISE_WEIGHTS(TAPS) ((idx)(TAPS + 3) / 4 * 4 * (Q_STEP / QN))
#endif
