/* Decision trees: PM_LANES walks at once, without branches. A node's two children lie side by side; a leaf leads to
 * itself. `x <= value` (or `<`) leads to the first child, a missing number (NaN) where bit 31 of `feature` says. */
#ifndef NEO_PLAIN_TREES_H
#define NEO_PLAIN_TREES_H
#include "plain_types.h"

#ifndef PM_LANES
#define PM_LANES 16
#endif

/* Sixteen bytes for float, so that a step touches one cache line. */
typedef struct { float value; pm_u32 feature; pm_i32 child, none; } __attribute__((may_alias)) pm_node_f;
typedef struct { double value; pm_u32 feature; pm_i32 child; } __attribute__((may_alias)) pm_node_d;

#define PM_STEP(T, CMP, MISSING) \
    for (int r = 0; r < PM_LANES; r++) { \
        const node *restrict p = nodes + now[r]; \
        const T v = x[base[r] + (pm_i32)(p->feature & 0x7fffffffu)]; \
        const pm_i32 left = (v CMP p->value) MISSING, next = p->child + 1 - left; \
        moved |= next ^ now[r]; \
        now[r] = next; \
    }
#define PM_WALK(T, name, NODE, CMP) \
PM_BIG void pm_walk_##name(const T *restrict x, const pm_i32 *restrict row, pm_i32 *restrict at, const void *all, \
                           int levels, int missing) \
{ \
    typedef NODE node; \
    const node *restrict nodes = all; \
    pm_i32 now[PM_LANES], base[PM_LANES]; \
    for (int r = 0; r < PM_LANES; r++) { now[r] = at[r]; base[r] = row[r]; } \
    while (levels > 0) { \
        pm_i32 moved = 0; \
        for (int l = levels < 8 ? levels : 8; l > 0; l--) { \
            if (missing) PM_STEP(T, CMP, | ((v != v) & (pm_i32)(p->feature >> 31))) \
            else PM_STEP(T, CMP, ) \
        } \
        levels -= 8; \
        if (!moved) break; \
    } \
    for (int r = 0; r < PM_LANES; r++) at[r] = now[r]; \
}
PM_WALK(float, le_f, pm_node_f, <=)
PM_WALK(float, lt_f, pm_node_f, <)
PM_WALK(double, le_d, pm_node_d, <=)
PM_WALK(double, lt_d, pm_node_d, <)
PM_FN int pm_missing_f(const float *x, pm_i64 n) { int m = 0; for (pm_i64 i = 0; i < n; i++) m |= x[i] != x[i]; return m; }
PM_FN int pm_missing_d(const double *x, pm_i64 n) { int m = 0; for (pm_i64 i = 0; i < n; i++) m |= x[i] != x[i]; return m; }

PM_FN float pm_logistic(float x)
{
    float v = 1.0f / (1.0f + pm_expf(-pm_absf(x)));
    return x < 0 ? 1.0f - v : v;
}
PM_BIG float pm_probit(float x)
{
    float s = 2.0f * x - 1.0f, l = pm_logf((1.0f - s) * (1.0f + s));
    float v = 2.0f / (3.14159f * 0.147f) + 0.5f * l, w = 1.0f / 0.147f * l, r = pm_sqrtf(-v + pm_sqrtf(v * v - w));
    return 1.41421356f * (s < 0 ? -r : r);
}
/* NONE 0, SOFTMAX 1, LOGISTIC 2, SOFTMAX_ZERO 3, PROBIT 4 */
PM_BIG void pm_post(int kind, float *z, int n)
{
    if (kind == 2) for (int i = 0; i < n; i++) z[i] = pm_logistic(z[i]);
    if (kind == 4) for (int i = 0; i < n; i++) z[i] = pm_probit(z[i]);
    if (kind != 1 && kind != 3) return;
    float m = z[0], a = 0;
    for (int i = 1; i < n; i++) m = z[i] > m ? z[i] : m;
    for (int i = 0; i < n; i++) {
        if (kind == 3 && pm_absf(z[i]) <= 0.0000001f) { z[i] *= pm_expf(-m); continue; }
        z[i] = pm_expf(z[i] - m);
        a += z[i];
    }
    for (int i = 0; i < n; i++) z[i] /= a;
}
#endif
