#include "conv.h"
/* Winograd convolution of 3x3 kernels, F(2x2) and F(4x4): transform the input, one matrix product for each of the 16 or
 * 36 points (by the tiles of conv.h), transform back with bias, sum and activation.
 *
 * The images, or the slices of a volume, are transformed together: a product's pixels are the tiles of all of them, and a
 * tap along the slices is a step of one slice's tiles. */
struct winograd {
    idx in_image, in_block, in_row, out_image, out_plane, out_row, add_image, add_plane, add_row;
    int points, ins, outs, height, width, across, pass; /* tiles a row, at a time */
    int sources, images;                                /* images in, out */
    int act, add_after;
    float a, b, low, high;
    const struct conv *product;
    idx weights; /* floats of one point */
};

ALWAYS void winograd4_in(const vf *d, int s, vf *t) {
    const vf four = splat(4.0f), two = splat(2.0f), five = splat(5.0f);
    const vf x0 = d[0], x1 = d[s], x2 = d[2 * s], x3 = d[3 * s], x4 = d[4 * s], x5 = d[5 * s];
    const vf p = x4 - four * x2, q = x3 - four * x1, r = x4 - x2, u = two * (x3 - x1);
    t[0] = four * x0 - five * x2 + x4;
    t[1] = p + q, t[2] = p - q, t[3] = r + u, t[4] = r - u;
    t[5] = four * x1 - five * x3 + x5;
}
ALWAYS void winograd4_out(const vf *m, int s, vf *t) {
    const vf p = m[s] + m[2 * s], q = m[s] - m[2 * s], r = m[3 * s] + m[4 * s], u = m[3 * s] - m[4 * s];
    t[0] = m[0] + p + r;
    t[1] = q + splat(2.0f) * u;
    t[2] = p + splat(4.0f) * r;
    t[3] = q + splat(8.0f) * u + m[5 * s];
}
ALWAYS void winograd2_in(const vf *d, int s, vf *t) {
    t[0] = d[0] - d[2 * s], t[1] = d[s] + d[2 * s], t[2] = d[2 * s] - d[s], t[3] = d[s] - d[3 * s];
}
ALWAYS void winograd2_out(const vf *m, int s, vf *t) {
    t[0] = m[0] + m[s] + m[2 * s], t[1] = m[s] - m[2 * s] - m[3 * s];
}

/* Tiles [first, first + count) of the input, transformed, to v: [point][block][image][tile][VL]. */
ALWAYS void winograd_in(const struct winograd *c, const struct frame *f, const float *in, float *v, int first, int count, const int M) {
    const int T = M + 2;
    SPLIT((idx)c->ins * c->sources * count);
    for (idx unit = begin; unit < end; unit++) {
        const int tile = first + unit % count, image = unit / count % c->sources, block = unit / count / c->sources;
        const float *s = in + block * c->in_block + image * c->in_image + tile / c->across * M * c->in_row + (idx)(tile % c->across) * M * VL;
        vf half[36], row[6], line[6];
#pragma clang loop unroll(full)
        for (int y = 0; y < T; y++) {
#pragma clang loop unroll(full)
            for (int x = 0; x < T; x++) row[x] = vload(s + y * c->in_row + x * VL);
            if (M == 4) winograd4_in(row, 1, line);
            else winograd2_in(row, 1, line);
#pragma clang loop unroll(full)
            for (int x = 0; x < T; x++) half[y * T + x] = line[x];
        }
        float *o = v + unit * VL;
        const idx point = (idx)c->ins * c->sources * count * VL;
#pragma clang loop unroll(full)
        for (int x = 0; x < T; x++) {
            if (M == 4) winograd4_in(half + x, T, line);
            else winograd2_in(half + x, T, line);
#pragma clang loop unroll(full)
            for (int y = 0; y < T; y++) vstore(o + (y * T + x) * point, line[y]);
        }
    }
}
/* The products m: [point][block][image][tile][VL], transformed back into the output. */
ALWAYS void winograd_out(const struct winograd *c, const struct frame *f, const float *m, const float *bias, const float *add,
                         float *out, int first, int count, const int M) {
    const int T = M + 2;
    SPLIT((idx)c->outs * c->images * count);
    for (idx unit = begin; unit < end; unit++) {
        const int tile = first + unit % count, image = unit / count % c->images, block = unit / count / c->images;
        const int y0 = tile / c->across * M, x0 = tile % c->across * M;
        const float *s = m + unit * VL;
        const idx point = (idx)c->outs * c->images * count * VL;
        vf half[24], column[6], line[6];
#pragma clang loop unroll(full)
        for (int x = 0; x < T; x++) {
#pragma clang loop unroll(full)
            for (int y = 0; y < T; y++) column[y] = vload(s + (y * T + x) * point);
            if (M == 4) winograd4_out(column, 1, line);
            else winograd2_out(column, 1, line);
#pragma clang loop unroll(full)
            for (int y = 0; y < M; y++) half[y * T + x] = line[y];
        }
        const vf start = vload(bias + block * VL), low = splat(c->low), high = splat(c->high);
        float *o = out + image * c->out_image + block * c->out_plane + y0 * c->out_row + (idx)x0 * VL;
        const float *r = add ? add + image * c->add_image + block * c->add_plane + y0 * c->add_row + (idx)x0 * VL : 0;
        const float *sum = c->add_after ? 0 : r;
        const int rows = MIN(M, c->height - y0), columns = MIN(M, c->width - x0);
#pragma clang loop unroll(full)
        for (int y = 0; y < M; y++) {
            if (y >= rows) break;
            if (M == 4) winograd4_out(half + y * T, 1, line);
            else winograd2_out(half + y * T, 1, line);
#pragma clang loop unroll(full)
            for (int x = 0; x < M; x++) {
                if (x >= columns) break;
                vf value = line[x] + start;
                if (sum) value += vload(sum + y * c->add_row + x * VL);
                vstore(o + y * c->out_row + x * VL, vclip(value, low, high));
            }
            if (c->act > ACT_CLIP || c->add_after)
                act_run(o + y * c->out_row, o + y * c->out_row, c->add_after ? r + y * c->add_row : 0, columns * VL, c->act,
                        c->a, c->b);
        }
    }
}
/* The points' products of `count` tiles. */
NEVER void winograd_products(const struct winograd *c, const struct frame *f, const float *w, const float *zero, const float *v,
                             float *m, int count) {
    const struct conv *product = c->product + (count < c->pass);
    struct frame alone = *f;
    const idx from = (idx)c->ins * c->sources * count * VL, to = (idx)c->outs * c->images * count * VL;
    alone.tid = 0, alone.nt = 1;
    if (f->nt * 2 <= c->points) {
        SPLIT(c->points);
        for (idx p = begin; p < end; p++)
            conv_direct(product, &alone, v + p * from, w + p * c->weights, zero, 0, m + p * to);
    } else {
        for (idx p = 0; p < c->points; p++)
            conv_direct(product, f, v + p * from, w + p * c->weights, zero, 0, m + p * to);
    }
}
#define WINOGRAD(M)                                                                                                       \
    NEVER void winograd_in_##M(const struct winograd *c, const struct frame *f, const float *in, float *v, int first,      \
                               int count) {                                                                               \
        winograd_in(c, f, in, v, first, count, M);                                                                        \
    }                                                                                                                     \
    NEVER void winograd_out_##M(const struct winograd *c, const struct frame *f, const float *m, const float *bias,        \
                                const float *add, float *out, int first, int count) {                                     \
        winograd_out(c, f, m, bias, add, out, first, count, M);                                                           \
    }
