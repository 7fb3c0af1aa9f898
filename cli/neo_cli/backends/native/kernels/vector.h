/* Vectors of VL floats and the functions of them that activations need. */
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

ALWAYS vf vload(const float *p) { return *(const vf *)p; }
ALWAYS void vstore(float *p, vf x) { *(vf *)p = x; }
ALWAYS vf splat(float x) { return x - (vf){0}; }
ALWAYS vf vmin(vf a, vf b) { return __builtin_elementwise_min(a, b); }
ALWAYS vf vmax(vf a, vf b) { return __builtin_elementwise_max(a, b); }
ALWAYS vf vabs(vf a) { return __builtin_elementwise_abs(a); }
ALWAYS vf vselect(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }

/* The sum and the largest of a vector's elements, pairwise: the same order on every target of one width. */
ALWAYS float vsum(vf x) {
    float part[VL];
    vstore(part, x);
    for (int n = VL / 2; n; n /= 2)
        for (int i = 0; i < n; i++) part[i] += part[i + n];
    return part[0];
}
ALWAYS float vmost(vf x) {
    float part[VL];
    vstore(part, x);
    for (int n = VL / 2; n; n /= 2)
        for (int i = 0; i < n; i++) part[i] = MAX(part[i], part[i + n]);
    return part[0];
}

/* e^x: 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2]; at most 2 ULP; 0 below -87.3, largest finite above 88.7. */
ALWAYS vf vexp(vf x) {
    x = vmin(vmax(x, splat(-87.33654f)), splat(88.72283f));
    const vf shift = splat(12582912.0f);
    const vf t = x * splat(1.44269504f) + shift;
    const vf n = t - shift;
    vf r = x - n * splat(0.693145752f);
    r = r - n * splat(1.42860677e-6f);
    vf p = splat(1.38888889e-3f);
    p = p * r + splat(8.33333333e-3f);
    p = p * r + splat(4.16666667e-2f);
    p = p * r + splat(1.66666667e-1f);
    p = p * r + splat(0.5f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    const vi half = ((vi)t << 23) >> 24; /* n / 2, so that n = 128 does not overflow */
    const vi rest = (((vi)t << 9) >> 9) - half;
    return p * (vf)((half + 127) << 23) * (vf)((rest + 127) << 23);
}
ALWAYS vf vsigmoid(vf x) { return splat(1.0f) / (splat(1.0f) + vexp(-x)); }

/* tanh: odd polynomial below 0.625 (Cephes), 1 - 2 / (e^2x + 1) above; at most 3 ULP. */
ALWAYS vf vtanh(vf x) {
    const vf a = vabs(x), z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = p * z + splat(2.06390887954e-2f);
    p = p * z + splat(-5.37397155531e-2f);
    p = p * z + splat(1.33314422036e-1f);
    p = p * z + splat(-3.33332819422e-1f);
    const vf small = p * z * x + x;
    const vf large = splat(1.0f) - splat(2.0f) / (vexp(a + a) + splat(1.0f));
    const vi sign = (vi)x & (vi)splat(-0.0f);
    return vselect(a < splat(0.625f), small, (vf)((vi)large | sign));
}

/* erf: x P(x^2) below 1, 1 - e^(-x^2) Q(1 / (1 + p x)) above (Abramowitz-Stegun 7.1.26, error 1.5e-7). */
ALWAYS vf verf(vf x) {
    const vf a = vabs(x), z = x * x;
    vf s = splat(-9.673590416e-06f);
    s = s * z + splat(1.126825376e-04f);
    s = s * z + splat(-8.484396531e-04f);
    s = s * z + splat(5.221053411e-03f);
    s = s * z + splat(-2.686543831e-02f);
    s = s * z + splat(1.128378262e-01f);
    s = s * z + splat(-3.761263848e-01f);
    s = s * z + splat(1.128379167e+00f);
    const vf small = x * s;
    const vf t = splat(1.0f) / (splat(1.0f) + splat(0.3275911f) * a);
    vf p = splat(1.061405429f);
    p = p * t + splat(-1.453152027f);
    p = p * t + splat(1.421413741f);
    p = p * t + splat(-0.284496736f);
    p = p * t + splat(0.254829592f);
    const vf large = splat(1.0f) - p * t * vexp(-z);
    const vi sign = (vi)x & (vi)splat(-0.0f);
    return vselect(a < splat(1.0f), small, (vf)((vi)large | sign));
}
ALWAYS vf vgelu(vf x) { return splat(0.5f) * x * (splat(1.0f) + verf(x * splat(0.70710678f))); }

/* Activations by number (fast/activations.py); a and b are the parameters. */
enum { ACT_NONE, ACT_CLIP, ACT_SILU, ACT_SIGMOID, ACT_TANH, ACT_GELU, ACT_LEAKY, ACT_HARDSWISH, ACT_HARDSIGMOID, ACT_ELU,
       ACT_ERF, ACT_EXP, ACT_ABS, ACT_SQRT, ACT_QUICKGELU, ACT_NEG };
ALWAYS vf act_vector(vf x, int act, float a, float b) {
    switch (act) {
    case ACT_CLIP: return vmin(vmax(x, splat(a)), splat(b));
    case ACT_SILU: return x * vsigmoid(x);
    case ACT_SIGMOID: return vsigmoid(x);
    case ACT_TANH: return vtanh(x);
    case ACT_GELU: return vgelu(x);
    case ACT_LEAKY: return vmax(x, splat(0.0f)) + splat(a) * vmin(x, splat(0.0f));
    case ACT_HARDSWISH: return x * vmin(vmax(x * splat(0.16666667f) + splat(0.5f), splat(0.0f)), splat(1.0f));
    case ACT_HARDSIGMOID: return vmin(vmax(x * splat(a) + splat(b), splat(0.0f)), splat(1.0f));
    case ACT_ELU: return vmax(x, splat(0.0f)) + splat(a) * (vexp(vmin(x, splat(0.0f))) - splat(1.0f));
    case ACT_ERF: return verf(x);
    case ACT_EXP: return vexp(x);
    case ACT_ABS: return vabs(x);
    case ACT_SQRT: return __builtin_elementwise_sqrt(x);
    case ACT_QUICKGELU: return x * vsigmoid(splat(a) * x);
    case ACT_NEG: return -x;
    default: return x;
    }
}
/* y = act(x) (+ add) over `count` floats, a multiple of VL. */
ALWAYS void act_span(float *y, const float *x, const float *add, idx count, int act, float a, float b) {
    if (add)
        for (idx i = 0; i < count; i += VL) vstore(y + i, act_vector(vload(x + i), act, a, b) + vload(add + i));
    else
        for (idx i = 0; i < count; i += VL) vstore(y + i, act_vector(vload(x + i), act, a, b));
}
#define ACT_CASE(A) case A: act_span(y, x, add, count, A, a, b); break;
NEVER void act_run(float *y, const float *x, const float *add, idx count, int act, float a, float b) {
    switch (act) { /* only what this network uses is compiled */
        ACT_CASE(ACT_NONE)
        ACT_CASE(ACT_CLIP)
#ifdef USE_ACT_SILU
        ACT_CASE(ACT_SILU)
#endif
#ifdef USE_ACT_SIGMOID
        ACT_CASE(ACT_SIGMOID)
#endif
#ifdef USE_ACT_TANH
        ACT_CASE(ACT_TANH)
#endif
#ifdef USE_ACT_GELU
        ACT_CASE(ACT_GELU)
#endif
#ifdef USE_ACT_LEAKY
        ACT_CASE(ACT_LEAKY)
#endif
#ifdef USE_ACT_HARDSWISH
        ACT_CASE(ACT_HARDSWISH)
#endif
#ifdef USE_ACT_HARDSIGMOID
        ACT_CASE(ACT_HARDSIGMOID)
#endif
#ifdef USE_ACT_ELU
        ACT_CASE(ACT_ELU)
#endif
#ifdef USE_ACT_ERF
        ACT_CASE(ACT_ERF)
#endif
#ifdef USE_ACT_EXP
        ACT_CASE(ACT_EXP)
#endif
#ifdef USE_ACT_ABS
        ACT_CASE(ACT_ABS)
#endif
#ifdef USE_ACT_SQRT
        ACT_CASE(ACT_SQRT)
#endif
#ifdef USE_ACT_QUICKGELU
        ACT_CASE(ACT_QUICKGELU)
#endif
#ifdef USE_ACT_NEG
        ACT_CASE(ACT_NEG)
#endif
    }
}
