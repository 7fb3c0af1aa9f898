#include "conv.h"
/* Steps of transformers on blocked rows, [block][row][VL]: layer norm and attention. */

/* (x - mean) / sqrt(variance + epsilon) * scale + shift over the channels of each row; in two passes, with `add` first. */
NEVER void layer_norm(const struct frame *f, const float *x, const float *scale, const float *shift, float *y, idx rows,
                      int channels, float epsilon) {
    const int blocks = channels / VL;
    const idx step = rows * VL;
    const float share = 1.0f / channels;
    SPLIT(rows);
    for (idx r = begin; r < end; r++) {
        const float *p = x + r * VL;
        float *o = y + r * VL;
        vf sum = {0}, more = {0};
        int b = 0;
        for (; b + 1 < blocks; b += 2) sum += vload(p + b * step), more += vload(p + (b + 1) * step);
        if (b < blocks) sum += vload(p + b * step);
        const vf mean = splat(vsum(sum + more) * share);
        sum = more = (vf){0};
        for (b = 0; b + 1 < blocks; b += 2) {
            const vf d = vload(p + b * step) - mean, e = vload(p + (b + 1) * step) - mean;
            sum += d * d, more += e * e;
        }
        if (b < blocks) {
            const vf d = vload(p + b * step) - mean;
            sum += d * d;
        }
        const vf factor = splat(1.0f / __builtin_sqrtf(vsum(sum + more) * share + epsilon));
        for (b = 0; b < blocks; b++)
            vstore(o + b * step, (vload(p + b * step) - mean) * factor * vload(scale + b * VL) + vload(shift + b * VL));
    }
}

/* softmax over each row of scores s: [block][rows][VL], of which `columns` channels count. */
ALWAYS void softmax_rows(float *s, const float *mask, idx mask_row, int rows, int columns, float scale) {
    const int blocks = (columns + VL - 1) / VL, rest = blocks * VL - columns;
    const idx step = (idx)rows * VL;
    const vf by = splat(scale);
    for (int r = 0; r < rows; r++) {
        float *p = s + (idx)r * VL;
        const float *m = mask + r * mask_row;
        vf most = splat(-__builtin_inff()), sum = {0};
        for (int b = 0; b < blocks; b++) {
            float padded[VL];
            const float *add = m + b * VL;
            if (rest && b + 1 == blocks) { /* nothing may be read behind the mask's end */
                for (int i = 0; i < VL; i++) padded[i] = i < VL - rest ? add[i] : -__builtin_inff();
                add = padded;
            }
            const vf v = vload(p + b * step) * by + vload(add);
            vstore(p + b * step, v);
            most = vmax(most, v);
        }
        const vf top = splat(MAX(vmost(most), -3.0e38f));
        for (int b = 0; b < blocks; b++) {
            const vf e = vexp(vload(p + b * step) - top);
            vstore(p + b * step, e);
            if (b + 1 < blocks || !rest) sum += e;
        }
        if (rest) { /* channels beyond the last one are no part of the sum, and must be zero for the product that follows */
            float last[VL];
            vstore(last, vload(p + (blocks - 1) * step));
            for (int i = VL - rest; i < VL; i++) last[i] = 0;
            vstore(p + (blocks - 1) * step, vload(last));
            sum += vload(last);
        }
        const vf share = splat(1.0f / vsum(sum));
        for (int b = 0; b < blocks; b++) vstore(p + b * step, vload(p + b * step) * share);
    }
}

struct attention {
    int batch, heads, queries, keys, width; /* the width of a head is a multiple of VL */
    float scale;
    idx mask_batch, mask_head, mask_row;
    const struct conv *scores, *mix;
    int vectors; /* of the scores' tiles */
};
/* One head: keys transposed to packed weights t, scores and their softmax in s, s times the values as they lie. */
NEVER void attend(const struct attention *c, const struct frame *f, const float *q, const float *k, const float *v,
                  const float *mask, const float *zero, float *out, float *t, float *s, float *u) {
    const int parts = c->width / VL, sections = (c->keys + VL - 1) / VL;
    const idx q_plane = (idx)c->batch * c->queries * VL, k_plane = (idx)c->batch * c->keys * VL;
    struct frame alone = *f;
    alone.tid = 0, alone.nt = 1;
    SPLIT(c->batch * c->heads);
    for (idx unit = begin; unit < end; unit++) {
        const idx b = unit / c->heads, h = unit % c->heads;
        const float *qh = q + h * parts * q_plane + b * c->queries * VL, *kh = k + h * parts * k_plane + b * c->keys * VL;
        const float *vh = v + h * parts * k_plane + b * c->keys * VL;
        for (int g = 0; g < sections; g += c->vectors) {
            const int n = MIN(c->vectors, sections - g);
            float *to = t + (idx)g * VL * c->width;
            for (int d = 0; d < c->width; d++)
                for (int j = 0; j < n * VL; j++)
                    to[d * n * VL + j] = g * VL + j < c->keys ? kh[d / VL * k_plane + (idx)(g * VL + j) * VL + d % VL] : 0;
        }
        conv_direct(c->scores, &alone, qh, t, zero, 0, s);
        softmax_rows(s, mask + b * c->mask_batch + h * c->mask_head, c->mask_row, c->queries, c->keys, c->scale);
        for (int p = 0; p < parts; p++) {
            const float *values = vh + p * k_plane;
            if (u) { /* keys end within a block: what lies behind them must be zero */
                for (idx i = 0; i < (idx)sections * VL * VL; i++) u[i] = i < (idx)c->keys * VL ? values[i] : 0;
                values = u;
            }
            conv_direct(c->mix, &alone, s, values, zero, 0,
                        out + (h * parts + p) * q_plane + b * c->queries * VL);
        }
    }
}
