#include "vector.h"
/* The steps of LSTM and GRU. The products with the input are there for all steps; those with the last state are done for
 * a group of hidden blocks at a time, all gates of it in registers, and the group's new state at once. Weights lie in the
 * order in which they are read: [direction][group][hidden unit][block of the group][gate][VL]. */
struct recurrent {
    int steps, batch, hidden, blocks, directions, parts; /* blocks of VL hidden units; threads that have work, at most */
    int backward;                                       /* bit d: direction d goes from the last step to the first */
    idx plane;                                          /* floats of one block of gates, [step][batch][VL] */
};
enum { RECURRENT_GROUP = 2 }; /* hidden blocks of a group */

/* State [direction][batch][blocks * VL] from row-major [direction][batch][hidden], or zeros. */
NEVER void recurrent_start(const struct frame *f, const struct recurrent *c, const float *from, float *to) {
    const int padded = c->blocks * VL;
    SPLIT((idx)c->directions * c->batch);
    for (idx i = begin; i < end; i++)
        for (int j = 0; j < padded; j++) to[i * padded + j] = from && j < c->hidden ? from[i * c->hidden + j] : 0;
}
/* The same back again. */
NEVER void recurrent_end(const struct frame *f, const struct recurrent *c, const float *from, float *to) {
    SPLIT((idx)c->directions * c->batch);
    for (idx i = begin; i < end; i++)
        for (int j = 0; j < c->hidden; j++) to[i * c->hidden + j] = from[i * c->blocks * VL + j];
}
ALWAYS void recurrent_store(float *to, vf x, int count) {
    if (count >= VL) vstore(to, x);
    else
        for (int i = 0; i < count; i++) to[i] = x[i];
}
/* sum[i] += h . w[i] for COUNT vectors of weights. */
ALWAYS void recurrent_products(vf *sum, const float *h, const float *w, int hidden, const int COUNT) {
    vf acc[8];
#pragma clang loop unroll(full)
    for (int i = 0; i < COUNT; i++) acc[i] = sum[i];
#pragma clang loop unroll_count(4)
    for (int k = 0; k < hidden; k++, w += COUNT * VL) {
        const vf s = splat(h[k]);
#pragma clang loop unroll(full)
        for (int i = 0; i < COUNT; i++) acc[i] += s * vload(w + i * VL);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < COUNT; i++) sum[i] = acc[i];
}
/* Gates i, o, f, c of BLOCKS hidden blocks: the new cell and state. `in` is the first gate of the first block. */
ALWAYS void lstm_group(const struct recurrent *c, const float *in, const float *h, const float *was, const float *w, const float *bias,
                       float *cell, float *next, float *y, int rest, const int BLOCKS) {
    vf sum[8];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4 * BLOCKS; i++) sum[i] = vload(in + i * c->plane);
    recurrent_products(sum, h, w, c->hidden, 4 * BLOCKS);
#pragma clang loop unroll(full)
    for (int b = 0; b < BLOCKS; b++) {
        const vf *g = sum + 4 * b;
        const vf kept = vsigmoid(g[2]) * vload(cell + b * VL) + vsigmoid(g[0]) * vtanh(g[3]);
        const vf state = vsigmoid(g[1]) * vtanh(kept);
        vstore(cell + b * VL, kept);
        vstore(next + b * VL, state);
        if (y) recurrent_store(y + b * VL, state, rest - b * VL);
    }
}
/* Gates z, r, h of BLOCKS hidden blocks; `bias` is that of the last gate's products with the state (linear before reset). */
ALWAYS void gru_group(const struct recurrent *c, const float *in, const float *h, const float *was, const float *w, const float *bias,
                      float *cell, float *next, float *y, int rest, const int BLOCKS) {
    vf sum[8];
#pragma clang loop unroll(full)
    for (int i = 0; i < 3 * BLOCKS; i++) sum[i] = i % 3 == 2 ? vload(bias + i / 3 * VL) : vload(in + i * c->plane);
    recurrent_products(sum, h, w, c->hidden, 3 * BLOCKS);
#pragma clang loop unroll(full)
    for (int b = 0; b < BLOCKS; b++) {
        const vf *g = sum + 3 * b;
        const vf fresh = vtanh(vload(in + (3 * b + 2) * c->plane) + vsigmoid(g[1]) * g[2]);
        const vf state = fresh + vsigmoid(g[0]) * (vload(was + b * VL) - fresh);
        vstore(next + b * VL, state);
        if (y) recurrent_store(y + b * VL, state, rest - b * VL);
    }
}
/* All steps. The state before step s lies in states[s & 1], [direction][batch][blocks * VL]; threads share directions and
 * groups, and wait for each other at each step unless each has whole directions. */
ALWAYS void recurrent_unit(const struct recurrent *c, const float *gates, const float *w, const float *bias,
                           const float *old, float *fresh, float *cells, float *y, int s, int unit, const int GATES) {
    const int groups = (c->blocks + RECURRENT_GROUP - 1) / RECURRENT_GROUP, padded = c->blocks * VL;
    const int d = unit / groups, first = unit % groups * RECURRENT_GROUP, rest = c->hidden - first * VL;
    const int t = c->backward >> d & 1 ? c->steps - 1 - s : s;
    const idx block = (idx)d * c->blocks + first;
    const float *weights = w + GATES * VL * c->hidden * block, *start = bias + block * VL;
    for (int b = 0; b < c->batch; b++) {
        const float *in = gates + block * GATES * c->plane + ((idx)t * c->batch + b) * VL;
        const idx row = (idx)d * c->batch + b, at = row * padded + first * VL;
        float *out = y ? y + (((idx)t * c->directions + d) * c->batch + b) * c->hidden + first * VL : 0;
        const float *h = old + row * padded, *was = old + at;
        if (GATES == 4 && c->blocks - first >= RECURRENT_GROUP)
            lstm_group(c, in, h, was, weights, start, cells + at, fresh + at, out, rest, RECURRENT_GROUP);
        else if (GATES == 4)
            lstm_group(c, in, h, was, weights, start, cells + at, fresh + at, out, rest, 1);
        else if (c->blocks - first >= RECURRENT_GROUP)
            gru_group(c, in, h, was, weights, start, 0, fresh + at, out, rest, RECURRENT_GROUP);
        else
            gru_group(c, in, h, was, weights, start, 0, fresh + at, out, rest, 1);
    }
}
#define RECURRENT(NAME, GATES)                                                                                          \
    NEVER void NAME(const struct recurrent *c, const struct frame *f, const float *gates, const float *w,               \
                    const float *bias, float *states, float *cells, float *y) {                                         \
        const int units = c->directions * ((c->blocks + RECURRENT_GROUP - 1) / RECURRENT_GROUP);                         \
        const int parts = MIN(f->nt, c->parts), apart = c->directions % parts == 0, idle = f->tid >= parts;              \
        const idx size = (idx)c->directions * c->batch * c->blocks * VL;                                                 \
        if (idle && apart) return;                                                                                       \
        struct frame part = *f;                                                                                          \
        part.nt = parts, part.tid = idle ? 0 : f->tid;                                                                   \
        f = &part;                                                                                                       \
        SPLIT(idle ? 0 : units);                                                                                         \
        for (int s = 0; s < c->steps; s++) {                                                                             \
            for (idx unit = begin; unit < end; unit++)                                                                   \
                recurrent_unit(c, gates, w, bias, states + (s & 1) * size, states + (~s & 1) * size, cells, y, s, unit,   \
                               GATES);                                                                                   \
            if (!apart) BARRIER;                                                                                         \
        }                                                                                                                \
    }
