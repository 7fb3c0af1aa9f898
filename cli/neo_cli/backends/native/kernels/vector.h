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

/* x held within [low, high]; NaN stays NaN, which the processor's own minimum and maximum do not all promise. */
ALWAYS vf vclip(vf x, vf low, vf high) {
#if defined(__aarch64__) || defined(__ARM_NEON)
    return __builtin_elementwise_minimum(__builtin_elementwise_maximum(x, low), high);
#else /* compared in this order, one instruction of x86 each */
    typedef float wide __attribute__((ext_vector_type(VL)));
    const wide w = (wide)x, l = (wide)low, h = (wide)high, raised = l > w ? l : w;
    return (vf)(h < raised ? h : raised);
#endif
}

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

/* 1 / x for x of ordinary size: the approximation of AVX-512 and two Newton steps cost less than a division. */
ALWAYS vf vinverse(vf x) {
#if VL == 16 && defined(__AVX512F__)
    vf r = (vf)__builtin_ia32_rcp14ps512_mask((__attribute__((vector_size(64))) float)x, (__attribute__((vector_size(64))) float){0}, (unsigned short)-1);
    return r + r * (splat(1.0f) - x * r);
#else
    return splat(1.0f) / x;
#endif
}

/* e^x: 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2]; at most 1.5 ULP; x is held within [-87.33, 88.37]. */
ALWAYS vf vexp(vf x) {
    x = vclip(x, splat(-87.33f), splat(88.37f));
    const vf shift = splat(12582912.0f);
    const vf t = x * splat(1.44269504f) + shift;
    const vf n = t - shift;
    vf r = x - n * splat(0.693145752f);
    r = r - n * splat(1.42860677e-6f);
    vf p = splat(1.39420267e-3f);
    p = p * r + splat(8.36377620e-3f);
    p = p * r + splat(4.16663651e-2f);
    p = p * r + splat(1.66665734e-1f);
    p = p * r + splat(0.5f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    return (vf)((vi)p + ((vi)t << 23)); /* n lies in the low bits of t */
}
ALWAYS vf vsigmoid(vf x) { return vinverse(splat(1.0f) + vexp(-x)); }

/* tanh: odd polynomial below 0.625 (Cephes), 1 - 2 / (e^2x + 1) above; at most 2 ULP. */
ALWAYS vf vtanh(vf x) {
    const vf a = vabs(x), z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = p * z + splat(2.06390887954e-2f);
    p = p * z + splat(-5.37397155531e-2f);
    p = p * z + splat(1.33314422036e-1f);
    p = p * z + splat(-3.33332819422e-1f);
    const vf small = p * z * x + x;
    const vf large = splat(1.0f) - splat(2.0f) * vinverse(vexp(a + a) + splat(1.0f));
    const vi sign = (vi)x & (vi)splat(-0.0f);
    return vselect(a < splat(0.625f), small, (vf)((vi)large | sign));
}

/* erf: x P(x^2) / Q(x^2) for |x| < 3.92, fitted for relative error; 1 beyond; at most 7 ULP. */
ALWAYS vf verf(vf x) {
    x = vclip(x, splat(-3.92f), splat(3.92f));
    const vf z = x * x;
    vf p = splat(2.050042625e-06f);
    p = p * z + splat(2.848823558e-04f);
    p = p * z + splat(3.765694040e-03f);
    p = p * z + splat(5.274895021e-02f);
    p = p * z + splat(1.904085400e-01f);
    p = p * z + splat(1.128379146e+00f);
    vf q = splat(3.809123609e-05f);
    q = q * z + splat(1.162550383e-03f);
    q = q * z + splat(1.496937126e-02f);
    q = q * z + splat(1.141099262e-01f);
    q = q * z + splat(5.020779157e-01f);
    q = q * z + splat(1.000000000e+00f);
    return x * p * vinverse(q);
}
ALWAYS vf vgelu(vf x) { return splat(0.5f) * x * (splat(1.0f) + verf(x * splat(0.70710678f))); }

/* Activations by number (fast/activations.py); a and b are the parameters. */
enum { ACT_NONE, ACT_CLIP, ACT_SILU, ACT_SIGMOID, ACT_TANH, ACT_GELU, ACT_LEAKY, ACT_HARDSWISH, ACT_HARDSIGMOID, ACT_ELU,
       ACT_ERF, ACT_EXP, ACT_ABS, ACT_SQRT, ACT_QUICKGELU, ACT_NEG };
ALWAYS vf act_vector(vf x, int act, float a, float b) {
    switch (act) {
    case ACT_CLIP: return vclip(x, splat(a), splat(b));
    case ACT_SILU: return x * vsigmoid(x);
    case ACT_SIGMOID: return vsigmoid(x);
    case ACT_TANH: return vtanh(x);
    case ACT_GELU: return vgelu(x);
    case ACT_LEAKY: return vselect(x < splat(0.0f), splat(a) * x, x);
    case ACT_HARDSWISH: return x * vclip(x * splat(0.16666667f) + splat(0.5f), splat(0.0f), splat(1.0f));
    case ACT_HARDSIGMOID: return vclip(x * splat(a) + splat(b), splat(0.0f), splat(1.0f));
    case ACT_ELU: return vselect(x < splat(0.0f), splat(a) * (vexp(x) - splat(1.0f)), x);
    case ACT_ERF: return verf(x);
    case ACT_EXP: return vselect(x > splat(88.37f), vexp(x - splat(1.0f)) * splat(2.71828183f), vselect(x < splat(-87.33f), splat(0.0f), vexp(x)));
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
