/* Storage types without arithmetic of their own (half, bfloat16, the 8-bit floats) to float and back, and the
 * conversions whose result C leaves open: they do what x86-64 does, on every target. */
#ifndef NEO_PLAIN_TYPES_H
#define NEO_PLAIN_TYPES_H
#include "plain_math.h"

typedef pm_u16 pm_half __attribute__((may_alias));
typedef pm_u8 pm_byte __attribute__((may_alias));

PM_FN float pm_h2f(pm_u16 h)
{
    pm_u32 s = (pm_u32)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 1023u;
    float small = (float)m * 5.9604644775390625e-8f;
    float y = e == 31u ? pm_from_f(0x7f800000u | (m << 13)) : pm_from_f(((e + 112u) << 23) | (m << 13));
    return pm_from_f(pm_bits_f(e ? y : small) | s);
}
PM_FN pm_u16 pm_f2h(float x) /* to nearest even */
{
    pm_u32 b = pm_bits_f(x), s = (b >> 16) & 0x8000u, a = b & 0x7fffffffu;
    pm_u32 normal = (a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13;
    pm_u32 tiny = pm_bits_f(pm_from_f(a) + 0.5f) - 0x3f000000u;
    pm_u32 r = a < 0x38800000u ? tiny : normal;
    r = a >= 0x477ff000u ? 0x7c00u : r;
    r = a > 0x7f800000u ? 0x7e00u : r;
    return (pm_u16)(r | s);
}
PM_FN float pm_b2f(pm_u16 h) { return pm_from_f((pm_u32)h << 16); }
PM_FN pm_u16 pm_f2b(float x)
{
    pm_u32 b = pm_bits_f(x);
    return (pm_u16)(x != x ? (b >> 16) | 64u : (b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

/* ---- 8-bit floats: `e` exponent bits of bias `bias`; fn: no infinities; uz: NaN is 0x80, no minus zero ---- */
static inline float pm_f8_value(pm_u8 h, int ebits, int bias, int fn, int uz)
{
    int mbits = 7 - ebits, top = (1 << ebits) - 1, e = (h >> mbits) & top, m = h & ((1 << mbits) - 1);
    if (uz && h == 0x80) return PM_NAN;
    if (!uz && fn && (h & 0x7f) == 0x7f) return PM_NAN;
    if (!uz && !fn && e == top) return m ? PM_NAN : (h & 0x80 ? -PM_INF : PM_INF);
    float y = e ? pm_scale2f(1.0f + (float)m / (float)(1 << mbits), e - bias) : pm_scale2f((float)m, 1 - bias - mbits);
    return h & 0x80 ? -y : y;
}
static inline pm_u8 pm_f8_round(float x, int ebits, int bias, int fn, int uz, int saturate)
{
    int mbits = 7 - ebits, sign = (pm_bits_f(x) >> 24) & 0x80, top = (1 << ebits) - 1;
    int nan = uz ? 0x80 : (fn ? sign | 0x7f : sign | (top << mbits) | (1 << (mbits - 1)));
    int most = uz ? 0x7f : (fn ? 0x7e : (top << mbits) - 1), over = fn || uz ? nan : sign | (top << mbits);
    if (x != x) return (pm_u8)nan;
    float a = pm_absf(x);
    int e = (int)(pm_bits_f(a) >> 23) - 127;
    e = e < 1 - bias ? 1 - bias : e;
    if (a == PM_INF) return (pm_u8)(saturate ? sign | most : over);
    float steps = pm_rintf(pm_scale2f(a, mbits - e)); /* a in units of the last place, at most 2^(mbits+1) */
    int code = (int)steps + ((e - (1 - bias)) << mbits);
    if (code > most) return (pm_u8)(saturate ? sign | most : over);
    return (pm_u8)(uz && code == 0 ? 0 : sign | code);
}
#define PM_F8(name, e, b, fn, uz) \
    PM_BIG float pm_##name##_f(pm_u8 h) { return pm_f8_value(h, e, b, fn, uz); } \
    PM_BIG pm_u8 pm_f_##name(float x) { return pm_f8_round(x, e, b, fn, uz, 1); } \
    PM_BIG pm_u8 pm_fo_##name(float x) { return pm_f8_round(x, e, b, fn, uz, 0); }
PM_F8(float8_e4m3fn, 4, 7, 1, 0)
PM_F8(float8_e4m3fnuz, 4, 8, 1, 1)
PM_F8(float8_e5m2, 5, 15, 0, 0)
PM_F8(float8_e5m2fnuz, 5, 16, 1, 1)
/* ---- powers of two: the exponent of a float, NaN is 255; the sign is lost ---- */
PM_FN float pm_float8_e8m0fnu_f(pm_u8 h) { return pm_from_f(h == 255 ? 0x7fc00000u : h ? (pm_u32)h << 23 : 0x00400000u); }
PM_FN pm_u8 pm_e8m0(float x, int saturate) /* upwards */
{
    pm_u32 e = (pm_bits_f(x) >> 23) & 255u, up = e < 255u && (pm_bits_f(x) & 0x7fffffu) != 0;
    return (pm_u8)(e + (saturate && e == 254u ? 0 : up));
}
PM_FN pm_u8 pm_f_float8_e8m0fnu(float x) { return pm_e8m0(x, 1); }
PM_FN pm_u8 pm_fo_float8_e8m0fnu(float x) { return pm_e8m0(x, 0); }
PM_FN float pm_power_down(float x) { return pm_from_f(pm_bits_f(x) & 0x7f800000u); }
PM_FN float pm_power_near(float x, int saturate) /* the half goes up, but for denormals, as in ONNX's reference */
{
    pm_u32 b = pm_bits_f(x), e = (b >> 23) & 255u, up = (b & 0x400000u) && ((b & 0x3fffffu) || e);
    return pm_from_f((e + (e < (saturate ? 254u : 255u) ? up : 0)) << 23);
}
PM_BIG float pm_float4_e2m1fn_f(pm_u8 h)
{
    static const float v[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    return h & 8 ? -v[h & 7] : v[h & 7];
}
PM_BIG pm_u8 pm_f_float4_e2m1fn(float x)
{
    float a = pm_absf(x);
    int c = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) + (a >= 3.5f) + (a > 5.0f);
    return (pm_u8)(x != x ? 8 : c | (int)((pm_bits_f(x) >> 28) & 8u)); /* it has no NaN: minus zero */
}

/* ---- float to integer: truncated; what does not fit becomes the smallest number, as cvttss2si has it ---- */
PM_FN pm_i32 pm_d2i(double x) { return x > -2147483649.0 && x < 2147483648.0 ? (pm_i32)x : (pm_i32)0x80000000; }
PM_FN pm_i32 pm_f2i(float x) { return x >= -2147483648.0f && x < 2147483648.0f ? (pm_i32)x : (pm_i32)0x80000000; }
PM_FN pm_i64 pm_d2l(double x)
{
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (pm_i64)x : (pm_i64)0x8000000000000000ull;
}
PM_FN pm_u64 pm_d2u(double x)
{
    return x < 9223372036854775808.0 ? (pm_u64)pm_d2l(x) : (pm_u64)pm_d2l(x - 9223372036854775808.0) ^ 0x8000000000000000ull;
}

/* ---- integers ---- */
#define PM_DIVISION(T, U, name) \
    PM_FN T pm_div_##name(T a, T b) { return b == 0 ? 0 : (b == (T)-1 ? (T)(0 - (U)a) : (T)(a / b)); } \
    PM_FN T pm_fmod_##name(T a, T b) { return b == 0 || b == (T)-1 ? 0 : (T)(a % b); } \
    PM_FN T pm_mod_##name(T a, T b) { T r = pm_fmod_##name(a, b); return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r; }
PM_DIVISION(pm_i8, pm_u8, int8)
PM_DIVISION(pm_i16, pm_u16, int16)
PM_DIVISION(pm_i32, pm_u32, int32)
PM_DIVISION(pm_i64, pm_u64, int64)
#define PM_UDIVISION(T, name) \
    PM_FN T pm_div_##name(T a, T b) { return b == 0 ? 0 : (T)(a / b); } \
    PM_FN T pm_fmod_##name(T a, T b) { return b == 0 ? 0 : (T)(a % b); } \
    PM_FN T pm_mod_##name(T a, T b) { return b == 0 ? 0 : (T)(a % b); }
PM_UDIVISION(pm_u8, uint8)
PM_UDIVISION(pm_u16, uint16)
PM_UDIVISION(pm_u32, uint32)
PM_UDIVISION(pm_u64, uint64)
PM_FN pm_u64 pm_powu(pm_u64 b, pm_u64 e)
{
    pm_u64 r = 1;
    for (; e; e >>= 1, b *= b) r = e & 1 ? r * b : r;
    return r;
}
PM_FN pm_i64 pm_powi(pm_i64 b, pm_i64 e) /* negative exponents truncate */
{
    if (e < 0) return b == 1 ? 1 : (b == -1 ? (e & 1 ? -1 : 1) : 0);
    return (pm_i64)pm_powu((pm_u64)b, (pm_u64)e);
}
PM_BIG pm_i64 pm_powid(pm_i64 b, double e) { return e == pm_trunc(e) ? pm_powi(b, pm_d2l(e)) : pm_d2l(pm_pow((double)b, e)); }
PM_FN pm_i32 pm_quantise(float v, pm_i32 zero, pm_i32 low, pm_i32 high) /* round to even, saturate; NaN is `low` */
{
    float r = pm_rintf(v) + (float)zero;
    r = r > (float)low ? r : (float)low;
    r = r < (float)high ? r : (float)high;
    return (pm_i32)r;
}
PM_BIG double pm_fmod(double x, double y) /* exact, by shifting */
{
    pm_u64 a = pm_bits_d(pm_abs(x)), b = pm_bits_d(pm_abs(y)), top = 0x0010000000000000ull;
    if (x != x || y != y || b == 0 || a >= 0x7ff0000000000000ull) return (double)PM_NAN;
    if (a < b) return x;
    int ea = (int)(a >> 52), eb = (int)(b >> 52);
    a = ea ? (a & (top - 1)) | top : a;
    b = eb ? (b & (top - 1)) | top : b;
    int shift = (ea ? ea : 1) - (eb ? eb : 1);
    for (; shift > 0; shift--) { a = a >= b ? a - b : a; a <<= 1; }
    a = a >= b ? a - b : a;
    if (!a) return pm_copysign(0.0, x);
    int e = eb ? eb : 1;
    while (!(a & top) && e > 1) { a <<= 1; e--; }
    return pm_copysign(pm_from_d(a & top ? ((pm_u64)e << 52) | (a & (top - 1)) : a), x);
}
PM_FN double pm_mod(double x, double y) { double r = pm_fmod(x, y); return r != 0.0 && (r < 0.0) != (y < 0.0) ? r + y : r; }
#endif
