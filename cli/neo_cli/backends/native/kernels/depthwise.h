#include "vector.h"
/* Depthwise convolution of blocked images and volumes: the taps' weights of a block of channels stay in registers where they fit. */
struct depthwise {
    idx in_image, in_block, in_row, row_pitch, slice_pitch, out_image, out_block, out_row, add_image, add_block, add_row;
    int images, blocks, height, width, act, add_after;
    float a, b, low, high;
};
/* A row of outputs: COUNT pixels, OUT floats apart, KD x KH x KW taps; PITCH is the floats between the inputs of neighbours. */
ALWAYS void depthwise_row(const struct depthwise *c, const float *in, const float *w, vf bias, const float *add, float *out,
                          const int KD, const int KH, const int KW, const int PITCH, const int STEP, const int COUNT,
                          const int OUT) {
    vf acc[32];
#pragma clang loop unroll(full)
    for (int p = 0; p < COUNT; p++) acc[p] = bias;
#pragma clang loop unroll(full)
    for (int y = 0; y < KD * KH; y++) {
        const float *row = in + y / KH * c->slice_pitch + y % KH * c->row_pitch;
#pragma clang loop unroll(full)
        for (int x = 0; x < KW; x++) {
            const vf weight = vload(w + (y * KW + x) * VL);
#pragma clang loop unroll(full)
            for (int p = 0; p < COUNT; p++) acc[p] += weight * vload(row + x * STEP + p * PITCH);
        }
    }
    const vf low = splat(c->low), high = splat(c->high);
#pragma clang loop unroll(full)
    for (int p = 0; p < COUNT; p++) {
        vf r = acc[p];
        if (add) r += vload(add + p * OUT);
        vstore(out + p * OUT, vclip(r, low, high));
    }
}
#define DEPTHWISE(NAME, KD, KH, KW, PITCH, STEP, COUNT, REST, OUT)                                                             \
    NEVER void NAME(const struct depthwise *c, const struct frame *f, const float *in, const float *w, const float *bias, \
                    const float *add, float *out) {                                                                      \
        int y0 = f->top, y1 = f->bottom ? f->bottom : c->height, count = c->images * c->blocks, u0 = 0;                  \
        if (f->nt > 1 && y1 - y0 >= 8 * f->nt) { /* whole bands of rows, as the convolutions around have them */         \
            SPLIT(y1 - y0);                                                                                              \
            y1 = y0 + end, y0 += begin;                                                                                  \
        } else {                                                                                                         \
            SPLIT(count);                                                                                                \
            u0 = begin, count = end;                                                                                     \
        }                                                                                                                \
        for (int unit = u0; unit < count; unit++)                                                                        \
        for (int y = y0; y < y1; y++) {                                                                                  \
            const int block = unit % c->blocks, image = unit / c->blocks;                                                \
            const float *s = in + image * c->in_image + block * c->in_block + y * c->in_row;                             \
            const float *k = w + (idx)block * (KD * KH * KW) * VL;                                                         \
            const float *r = add ? add + image * c->add_image + block * c->add_block + y * c->add_row : 0;               \
            float *o = out + image * c->out_image + block * c->out_block + y * c->out_row;                               \
            const vf start = vload(bias + block * VL);                                                                   \
            const float *sum = c->add_after ? 0 : r;                                                                     \
            int x = 0;                                                                                                   \
            for (; x + COUNT <= c->width; x += COUNT)                                                                    \
                depthwise_row(c, s + x * PITCH, k, start, sum ? sum + x * OUT : 0, o + x * OUT, KD, KH, KW, PITCH, STEP, \
                              COUNT, OUT);                                                                      \
            if (REST)                                                                                                    \
                depthwise_row(c, s + x * PITCH, k, start, sum ? sum + x * OUT : 0, o + x * OUT, KD, KH, KW, PITCH, STEP, \
                              MAX(1, REST), OUT);                                                               \
            if (c->act > ACT_CLIP || c->add_after)                                                                       \
                for (idx i = 0; i < (OUT > VL ? c->width : 1); i++)                                                      \
                    act_run(o + i * OUT, o + i * OUT, c->add_after ? r + i * OUT : 0,                                    \
                            OUT > VL ? VL : (idx)c->width * VL, c->act, c->a, c->b);                                     \
        }                                                                                                                \
    }
