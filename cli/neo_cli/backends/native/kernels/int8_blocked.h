#include "int8.h"
/* Steps between quantised convolutions on blocked 8-bit images: borders, change of layout, sums, pooling. */
struct qimage {
    int images, channels, height, width, block; /* block 0: one channel after the other */
    idx image, plane, row, first;               /* elements to the next image, block, row; to the first pixel */
};

/* `fill` around an image of `planes` blocks of `rows` x `columns` pixels, borders included. */
NEVER void q_border(const struct frame *f, q8 *y, idx planes, int rows, int columns, int block, int top, int left,
                    int bottom, int right, int fill) {
    const idx row = (idx)columns * block;
    SPLIT(planes);
    for (idx p = begin; p < end; p++) {
        q8 *plane = y + p * rows * row;
        for (idx i = 0; i < top * row + left * block; i++) plane[i] = (q8)fill;
        for (int r = top; r + 1 < rows - bottom; r++) /* the end of a row and the beginning of the next */
            for (idx i = (r + 1) * row - right * block; i < (r + 1) * row + left * block; i++) plane[i] = (q8)fill;
        for (idx i = (rows - bottom) * row - right * block; i < rows * row; i++) plane[i] = (q8)fill;
    }
}

/* Sixteen floats (bytes) as numbers of 32 bits, from 0 to 255 (as they are). */
struct qscale {
    float scale, low, high; /* limits before the zero point is added */
    int zero, flip;         /* flip: what turns a byte of one sign into one of the other */
};
ALWAYS qi16 q_sixteen(const void *x, idx i, int count, const struct qscale *q, const int FLOATS) {
    if (FLOATS) {
        qf16 v = {0};
        if (count >= 16) v = *(const qf16 *)((const float *)x + i);
        else
            for (int k = 0; k < count; k++) v[k] = ((const float *)x)[i + k];
        v = v / ((qf16){0} + q->scale);
        v = __builtin_elementwise_min(__builtin_elementwise_max(v, (qf16){0} + q->low), (qf16){0} + q->high);
        return (qi16)(v + 12582912.0f) - (0x4B400000 - q->zero);
    }
    q16 v = {0};
    if (count >= 16) v = *(const q16 *)((const q8 *)x + i);
    else
        for (int k = 0; k < count; k++) v[k] = ((const q8 *)x)[i + k];
    return __builtin_convertvector(v, qi16) ^ q->flip;
}
/* A row-major image of floats or bytes as one of blocks of 4 or 16 channels. */
ALWAYS void q_to_blocks(const struct frame *f, const struct qimage *s, const void *x, const struct qimage *t, q8 *y,
                        const struct qscale *q, const int FLOATS) {
    const int quads = t->block / 4, blocks = (t->channels + t->block - 1) / t->block;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        q8 *to = y + t->first + image * t->image + block * t->plane + row * t->row;
        for (int k = 0; k < quads; k++) {
            const int channel = block * t->block + k * 4, count = MAX(0, MIN(4, t->channels - channel));
            const idx from = s->first + image * s->image + channel * s->plane + row * s->row;
            for (int i = 0; i < t->width; i += 16) {
                const int pixels = MIN(16, t->width - i);
                qi16 quad = {0};
                for (int j = 0; j < count; j++) quad |= (q_sixteen(x, from + j * s->plane + i, pixels, q, FLOATS) & 255) << j * 8;
                for (int p = 0; p < pixels; p++)
                    *(int32_t __attribute__((aligned(1), may_alias)) *)(to + (idx)(i + p) * t->block + k * 4) = quad[p];
            }
        }
    }
}
NEVER void q_bytes_to_blocks(const struct frame *f, const struct qimage *s, const void *x, const struct qimage *t, q8 *y,
                             const struct qscale *q) {
    q_to_blocks(f, s, x, t, y, q, 0);
}
NEVER void q_quantise_to_blocks(const struct frame *f, const struct qimage *s, const void *x, const struct qimage *t, q8 *y,
                                const struct qscale *q) {
    q_to_blocks(f, s, x, t, y, q, 1);
}
/* Sixteen vectors of sixteen bytes as rows to columns. */
ALWAYS void q_turn(q16 *a) {
    for (int round = 0; round < 4; round++) {
        q16 t[16];
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; i++) {
            t[2 * i] = __builtin_shufflevector(a[i], a[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            t[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) a[i] = t[i];
    }
}
/* Blocks to a row-major image. */
NEVER void q_from_blocks(const struct frame *f, const struct qimage *s, const q8 *x, const struct qimage *t, q8 *y, int flip) {
    const int blocks = (t->channels + QB - 1) / QB;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const q8 *from = x + s->first + image * s->image + block * (QB / s->block) * s->plane + row * s->row;
        q8 *to = y + t->first + image * t->image + block * QB * t->plane + row * t->row;
        const int channels = MIN(QB, t->channels - block * QB);
        if (s->block != QB) { /* four channels */
            for (int k = 0; k < channels; k++)
                for (int i = 0; i < t->width; i++) to[k * t->plane + i] = from[k / 4 * s->plane + i * 4 + k % 4] ^ flip;
            continue;
        }
        for (int i = 0; i < t->width; i += QB) {
            const int count = MIN(QB, t->width - i);
            q16 a[16] = {0};
            for (int p = 0; p < count; p++) a[p] = *(const q16 *)(from + (idx)(i + p) * QB) ^ (q8)flip;
            q_turn(a);
            for (int k = 0; k < channels; k++) {
                q8 *o = to + k * t->plane + i;
                if (count == QB) *(q16 *)o = a[k];
                else
                    for (int p = 0; p < count; p++) o[p] = a[k][p];
            }
        }
    }
}
/* Rows [pixels][channels] to blocks of 16 channels, and back. */
NEVER void q_rows_to_blocks(const struct frame *f, const q8 *x, q8 *y, idx pixels, int channels, int flip) {
    const int blocks = (channels + QB - 1) / QB;
    SPLIT(pixels);
    for (idx p = begin; p < end; p++)
        for (int b = 0; b < blocks; b++) {
            const q8 *from = x + p * channels + b * QB;
            q8 *to = y + (b * pixels + p) * QB;
            if ((b + 1) * QB <= channels) *(q16 *)to = *(const q16 *)from ^ (q8)flip;
            else
                for (int k = 0; k < QB; k++) to[k] = b * QB + k < channels ? from[k] ^ flip : 0;
        }
}
NEVER void q_blocks_to_rows(const struct frame *f, const q8 *x, q8 *y, idx pixels, int channels, int flip) {
    SPLIT(pixels);
    for (idx p = begin; p < end; p++)
        for (int b = 0; b * QB < channels; b++) {
            const q8 *from = x + (b * pixels + p) * QB;
            q8 *to = y + p * channels + b * QB;
            if ((b + 1) * QB <= channels) *(q16 *)to = *(const q16 *)from ^ (q8)flip;
            else
                for (int k = 0; b * QB + k < channels; k++) to[k] = from[k] ^ flip;
        }
}

/* y = round(own * x + other * z + fixed), row by row, as struct qfinish has it. */
NEVER void q_add(const struct frame *f, const struct qimage *s, const q8 *x, const struct qimage *u, const q8 *z,
                 const struct qimage *t, q8 *y, const struct qfinish *c, int shift) {
    const int blocks = (t->channels + QB - 1) / QB;
    const qf16 own = (qf16){0} + c->own, other = (qf16){0} + c->other, fixed = (qf16){0} + c->fixed;
    const qf16 low = (qf16){0} + c->add_low, high = (qf16){0} + c->add_high;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const q8 *p = x + s->first + image * s->image + block * s->plane + row * s->row;
        const q8 *q = z + u->first + image * u->image + block * u->plane + row * u->row;
        q8 *o = y + t->first + image * t->image + block * t->plane + row * t->row;
        for (idx i = 0; i < (idx)t->width * QB; i += QB) {
            const qf16 a = __builtin_convertvector(__builtin_convertvector(*(const q16 *)(p + i), qi16) - shift, qf16);
            const qf16 b = __builtin_convertvector(__builtin_convertvector(*(const q16 *)(q + i), qi16) - c->add_shift, qf16);
            qf16 v = q_fma16(a, own, q_fma16(b, other, fixed));
            v = __builtin_elementwise_min(__builtin_elementwise_max(v, low), high);
            *(q16 *)(o + i) = __builtin_convertvector((qi16)(v + 12582912.0f) - (0x4B400000 - c->add_zero), q16);
        }
    }
}

struct qpool {
    int kh, kw, sh, sw, dh, dw, top, left;
};
/* The largest of a window; what lies outside the image does not count. */
NEVER void q_largest(const struct frame *f, const struct qpool *p, const struct qimage *s, const q8 *x,
                     const struct qimage *t, q8 *y) {
    const int blocks = (t->channels + QB - 1) / QB;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const q8 *in = x + s->first + image * s->image + block * s->plane;
        q8 *out = y + t->first + image * t->image + block * t->plane + row * t->row;
        for (int column = 0; column < t->width; column++) {
            q16 most = (q16){0} + (q8)((q8)-1 < 0 ? -128 : 0);
            for (int k = 0; k < p->kh; k++) {
                const int iy = row * p->sh - p->top + k * p->dh;
                if (iy < 0 || iy >= s->height) continue;
                for (int l = 0; l < p->kw; l++) {
                    const int ix = column * p->sw - p->left + l * p->dw;
                    if (ix < 0 || ix >= s->width) continue;
                    most = __builtin_elementwise_max(most, *(const q16 *)(in + iy * s->row + (idx)ix * QB));
                }
            }
            *(q16 *)(out + (idx)column * QB) = most;
        }
    }
}
/* The sum of all pixels of each channel less the zero point, scaled and rounded once. */
NEVER void q_average(const struct frame *f, const struct qimage *s, const q8 *x, const struct qimage *t, q8 *y, int zero,
                     const struct qscale *q) {
    const int blocks = (t->channels + QB - 1) / QB;
    SPLIT((idx)t->images * blocks);
    for (idx unit = begin; unit < end; unit++) {
        const q8 *in = x + s->first + unit / blocks * s->image + unit % blocks * s->plane;
        qi16 sum = (qi16){0} - zero * s->height * s->width;
        for (int r = 0; r < s->height; r++)
            for (int c = 0; c < s->width; c++) sum += __builtin_convertvector(*(const q16 *)(in + r * s->row + (idx)c * QB), qi16);
        qf16 v = __builtin_convertvector(sum, qf16) * ((qf16){0} + q->scale);
        v = __builtin_elementwise_min(__builtin_elementwise_max(v, (qf16){0} + q->low), (qf16){0} + q->high);
        *(q16 *)(y + t->first + unit / blocks * t->image + unit % blocks * t->plane) =
            __builtin_convertvector((qi16)(v + 12582912.0f) - (0x4B400000 - q->zero), q16);
    }
}
