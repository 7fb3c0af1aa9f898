/* 8-bit numbers in blocks of 16 channels, and sums of their products in vectors of QW 32-bit numbers.
 *
 * Activations in blocks are q8: unsigned where x86 multiplies unsigned by signed, signed on ARM. Products are added four at
 * a time (Q_VNNI, Q_DOT), two at a time after widening to 16 bits (Q_MADD), or one by one (Q_WIDE): always exactly. */
#ifdef Q_DOT
#include <arm_neon.h>
#endif
#ifdef Q_SIGNED
typedef int8_t q8;
#else
typedef uint8_t q8;
#endif
#define Q_VECTOR(TYPE, BYTES, NAME) typedef TYPE NAME __attribute__((vector_size(BYTES), aligned(sizeof(TYPE)), may_alias))
Q_VECTOR(int32_t, QW * 4, qi);
Q_VECTOR(float, QW * 4, qf);
Q_VECTOR(uint16_t, QW * 4, qu16);
Q_VECTOR(q8, QW, qq);
Q_VECTOR(q8, 16, q16);
Q_VECTOR(int32_t, 64, qi16);
Q_VECTOR(float, 64, qf16);
Q_VECTOR(int16_t, 8, h4);
Q_VECTOR(q8, 4, q4);
enum { QB = 16, QN = QB / QW }; /* channels of a block, vectors of sums for them */

ALWAYS qi q_load(const void *p) { return *(const qi *)p; }
ALWAYS qi q_splat(int32_t x) { return (qi){0} + x; }
ALWAYS qf q_floats(float x) { return (qf){0} + x; }
ALWAYS int32_t q_quad(const q8 *p) { return *(const int32_t __attribute__((aligned(1), may_alias)) *)p; }

/* acc + x * w for four channels of each sum; w in the order of fast/quantised.py. */
#if defined(Q_MADD)
typedef struct { qi even, odd; } qx;
enum { Q_STEP = 128 }; /* bytes of weights of four input and sixteen output channels */
ALWAYS qx q_quads(qi x) { return (qx){x & 0x00ff00ff, (qi)((qu16)x >> 8)}; }
ALWAYS qi q_dot(qi acc, qx x, const int8_t *w) {
#if QW == 16
    typedef short h __attribute__((vector_size(64)));
#define Q_PAIRS __builtin_ia32_pmaddwd512
#elif QW == 8
    typedef short h __attribute__((vector_size(32)));
#define Q_PAIRS __builtin_ia32_pmaddwd256
#else
    typedef short h __attribute__((vector_size(16)));
#define Q_PAIRS __builtin_ia32_pmaddwd128
#endif
    return acc + (qi)Q_PAIRS((h)x.even, (h)q_load(w)) + (qi)Q_PAIRS((h)x.odd, (h)q_load(w + QW * 4));
}
#elif defined(Q_VNNI)
typedef qi qx;
enum { Q_STEP = 64 };
ALWAYS qx q_quads(qi x) { return x; }
ALWAYS qi q_dot(qi acc, qx x, const int8_t *w) {
    typedef int i __attribute__((vector_size(QW * 4)));
    typedef unsigned char u __attribute__((vector_size(QW * 4)));
    typedef signed char s __attribute__((vector_size(QW * 4)));
#if QW == 16
    return (qi)__builtin_ia32_vpdpbusd512((i)acc, (u)x, (s)q_load(w));
#else
    return (qi)__builtin_ia32_vpdpbusd256((i)acc, (u)x, (s)q_load(w));
#endif
}
#elif defined(Q_DOT)
typedef qi qx;
enum { Q_STEP = 64 };
ALWAYS qx q_quads(qi x) { return x; }
ALWAYS qi q_dot(qi acc, qx x, const int8_t *w) {
    return (qi)vdotq_s32((int32x4_t)acc, (int8x16_t)q_load(w), (int8x16_t)x);
}
#else
enum { Q_STEP = 128 };
#endif

/* a * b + c, rounded once, for whole numbers a of 8 bits: doubles hold the product where there is no such instruction. */
#if defined(__FMA__) || defined(__AVX512F__) || defined(__ARM_FEATURE_FMA)
#define Q_FMA(F, BYTES, NAME)                                                                                         \
    ALWAYS F NAME(F a, F b, F c) { return __builtin_elementwise_fma(a, b, c); }
#else
#define Q_FMA(F, BYTES, NAME)                                                                                         \
    ALWAYS F NAME(F a, F b, F c) {                                                                                    \
        typedef double d __attribute__((vector_size(2 * BYTES)));                                                     \
        return __builtin_convertvector(                                                                               \
            __builtin_convertvector(a, d) * __builtin_convertvector(b, d) + __builtin_convertvector(c, d), F);        \
    }
#endif
Q_FMA(qf, QW * 4, q_fma)
Q_FMA(qf16, 64, q_fma16)

Q_VECTOR(q8, QW * 4, qb);
enum { Q_GROUP = QW / 4 }; /* pixels of which a vector holds the bytes of 16 channels */

/* What becomes of the sums. A sum with another tensor is made of the rounded numbers, as two steps would have it. */
struct qfinish {
    float low, high;         /* limits of sum * factor */
    int zero;                /* added after rounding */
    float own, other, fixed; /* own * result + other * addend + fixed, within [add_low, add_high] */
    float add_low, add_high;
    int own_first, add_shift, add_zero;
};
ALWAYS qf q_between(qf v, float low, float high) {
    return __builtin_elementwise_min(__builtin_elementwise_max(v, q_floats(low)), q_floats(high));
}
/* Four vectors rounded, half to even, plus zero, saturated, and within [low, high] before zero is added; in each 128-bit
 * lane four bytes of the first vector, then four of the second and so on. Nothing may be beyond the range of 32 bits. */
ALWAYS qb q_bytes(const qf *v, float low, float high, int zero) {
#if defined(Q_MADD) || defined(Q_VNNI)
    typedef short h __attribute__((vector_size(QW * 4)));
#if QW == 16
#define Q_INTEGERS(X) __builtin_ia32_cvtps2dq512_mask(X, (__attribute__((vector_size(64))) int){0}, (unsigned short)-1, 4)
#define Q_HALVES __builtin_ia32_packssdw512
#define Q_PACKED __builtin_ia32_packuswb512
#elif QW == 8
#define Q_INTEGERS __builtin_ia32_cvtps2dq256
#define Q_HALVES __builtin_ia32_packssdw256
#define Q_PACKED __builtin_ia32_packuswb256
#else
#define Q_INTEGERS __builtin_ia32_cvtps2dq
#define Q_HALVES __builtin_ia32_packssdw128
#define Q_PACKED __builtin_ia32_packuswb128
#endif
    const h shift = (h){0} + (short)zero;
    const h a = Q_HALVES(Q_INTEGERS(v[0]), Q_INTEGERS(v[1])), b = Q_HALVES(Q_INTEGERS(v[2]), Q_INTEGERS(v[3]));
    const qb y = (qb)Q_PACKED(__builtin_elementwise_add_sat(a, shift), __builtin_elementwise_add_sat(b, shift));
    const qb least = (qb){0} + (q8)((int)low + zero), most = (qb){0} + (q8)((int)high + zero);
    return __builtin_elementwise_min(__builtin_elementwise_max(y, least), most);
#else
    typedef int32_t i8 __attribute__((vector_size(32)));
    qi y[4];
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) y[k] = (qi)(q_between(v[k], low, high) + q_floats(12582912.0f)) - q_splat(0x4B400000 - zero);
    const i8 l = __builtin_shufflevector(y[0], y[1], 0, 1, 2, 3, 4, 5, 6, 7);
    const i8 h = __builtin_shufflevector(y[2], y[3], 0, 1, 2, 3, 4, 5, 6, 7);
    return __builtin_convertvector(__builtin_shufflevector(l, h, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), qb);
#endif
}
/* Four vectors of sums as bytes; with `add`, where the addend of each vector lies, the sum of both. */
ALWAYS qb q_finish(const struct qfinish *f, const qi *acc, const qf *factor, const q8 *const *add) {
    qf v[4];
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) v[k] = __builtin_convertvector(acc[k], qf) * factor[k];
    if (!add) return q_bytes(v, f->low, f->high, f->zero);
    const qf own = q_floats(f->own), other = q_floats(f->other), fixed = q_floats(f->fixed);
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
        const qf a = q_between(v[k], f->low, f->high) + q_floats(12582912.0f) - q_floats(12582912.0f - f->zero);
        const qf b = __builtin_convertvector(__builtin_convertvector(*(const qq *)add[k], qi) - f->add_shift, qf);
        v[k] = f->own_first ? q_fma(a, own, q_fma(b, other, fixed)) : q_fma(b, other, q_fma(a, own, fixed));
    }
    return q_bytes(v, f->add_low, f->add_high, f->add_zero);
}
