#include "vector.h"
/* Blocked images: change of layout, zero borders, elementwise steps, pooling, concatenation. */
struct image {
    int images, channels, height, width, block; /* block 0 and 1: one channel after the other; images may be a volume's slices */
    idx image, plane, row, first;               /* floats to the next image, block, row; to the first pixel */
};

/* Zeros around an image. `blocks` planes of `rows` x `columns` pixels of `block` floats, borders included. */
NEVER void zero_border(const struct frame *f, float *y, idx planes, int rows, int columns, int block, int top, int left,
                       int bottom, int right) {
    SPLIT(planes);
    const idx row = (idx)columns * block;
    for (idx p = begin; p < end; p++) {
        float *plane = y + p * rows * row;
        for (idx i = 0; i < top * row; i++) plane[i] = 0;
        for (int r = top; r < rows - bottom; r++) {
            for (idx i = 0; i < (idx)left * block; i++) plane[r * row + i] = 0;
            for (idx i = row - (idx)right * block; i < row; i++) plane[r * row + i] = 0;
        }
        for (idx i = (rows - bottom) * row; i < rows * row; i++) plane[i] = 0;
    }
}

/* Four vectors of four as rows to columns. */
ALWAYS void turn(v4 *r) {
    const v4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    const v4 c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5), r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5), r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}
/* Elements x[i * sx + j * sx2] to y[i * sy + j * sy2] for i < n, j < m; the inner strides sx2 and sy are 1. */
ALWAYS void turn_tile(const float *x, idx sx, float *y, idx sy2, int n, int m) {
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        int j = 0;
        for (; j + 4 <= m; j += 4) {
            v4 r[4];
            for (int k = 0; k < 4; k++) r[k] = *(const v4 *)(x + (i + k) * sx + j);
            turn(r);
            for (int k = 0; k < 4; k++) *(v4 *)(y + (j + k) * sy2 + i) = r[k];
        }
        for (; j < m; j++)
            for (int k = 0; k < 4; k++) y[j * sy2 + i + k] = x[(i + k) * sx + j];
    }
    for (; i < n; i++)
        for (int j = 0; j < m; j++) y[j * sy2 + i] = x[i * sx + j];
}

/* Any layout of an image to any other. */
NEVER void reorder(const struct frame *f, const struct image *s, const float *x, const struct image *t, float *y) {
    const int sb = MAX(1, s->block), tb = MAX(1, t->block), step = MAX(sb, tb), blocks = (t->channels + step - 1) / step;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const int first = block * step, count = MIN(step, t->channels - first);
        const float *from = x + s->first + image * s->image + first / sb * s->plane + row * s->row;
        float *to = y + t->first + image * t->image + first / tb * t->plane + row * t->row;
        if (sb == tb) {
            for (idx i = 0; i < (idx)t->width * tb; i++) to[i] = from[i];
        } else if (sb > tb) {
            turn_tile(from, sb, to, t->plane, t->width, count);
        } else {
            turn_tile(from, s->plane, to, tb, count, t->width);
            for (int i = 0; count < tb && i < t->width; i++)
                for (int c = count; c < tb; c++) to[(idx)i * tb + c] = 0;
        }
    }
}
/* [N][groups * C][H][W] to [N][groups][H][W][C]. */
NEVER void channels_last(const struct frame *f, const struct image *s, const float *x, float *y, int groups) {
    const int sb = MAX(1, s->block), size = s->channels / groups;
    SPLIT((idx)s->images * groups * s->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % s->height, group = unit / s->height % groups, image = unit / s->height / groups;
        float *to = y + unit * s->width * size;
        for (int c = 0; c < size;) {
            const int channel = group * size + c, count = sb == 1 ? size : MIN(sb - channel % sb, size - c);
            const float *from = x + s->first + image * s->image + channel / sb * s->plane + row * s->row + channel % sb;
            if (sb == 1) turn_tile(from, s->plane, to, size, count, s->width);
            else
                for (int i = 0; i < s->width; i++) {
                    float *o = to + (idx)i * size + c;
                    const float *p = from + (idx)i * sb;
                    if (count == VL) vstore(o, vload(p));
                    else
                        for (int k = 0; k < count; k++) o[k] = p[k];
                }
            c += count;
        }
    }
}
/* Row-major [pixels][channels] to blocks of channels and back. */
NEVER void rows_to_blocks(const struct frame *f, const float *x, float *y, idx pixels, int channels) {
    const int blocks = (channels + VL - 1) / VL;
    SPLIT(pixels);
    for (idx p = begin; p < end; p++)
        for (int b = 0; b < blocks; b++) {
            float *to = y + (b * pixels + p) * VL;
            const float *from = x + p * channels + b * VL;
            if ((b + 1) * VL <= channels) vstore(to, vload(from));
            else
                for (int c = 0; c < VL; c++) to[c] = b * VL + c < channels ? from[c] : 0;
        }
}
NEVER void blocks_to_rows(const struct frame *f, const float *x, float *y, idx pixels, int channels) {
    const int blocks = (channels + VL - 1) / VL;
    SPLIT(pixels);
    for (idx p = begin; p < end; p++)
        for (int b = 0; b < blocks; b++) {
            const float *from = x + (b * pixels + p) * VL;
            float *to = y + p * channels + b * VL;
            if ((b + 1) * VL <= channels) vstore(to, vload(from));
            else
                for (int c = 0; b * VL + c < channels; c++) to[c] = from[c];
        }
}

/* y = act(x) row by row; with `add`, y = act(x) + add. */
NEVER void map_rows(const struct frame *f, const struct image *s, const float *x, const struct image *t, float *y, int act,
                    float a, float b) {
    const int tb = MAX(1, t->block), blocks = (t->channels + tb - 1) / tb;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        act_run(y + t->first + image * t->image + block * t->plane + row * t->row,
                x + s->first + image * s->image + block * s->plane + row * s->row, 0, (idx)t->width * tb, act, a, b);
    }
}

NEVER void map_flat(const struct frame *f, const float *x, float *y, idx count, int act, float a, float b) {
    const idx whole = count / VL;
    SPLIT(whole);
    act_run(y + begin * VL, x + begin * VL, 0, (end - begin) * VL, act, a, b);
    if (f->tid == 0 && whole * VL < count) {
        float last[VL] = {0};
        for (idx i = whole * VL; i < count; i++) last[i - whole * VL] = x[i];
        act_run(last, last, 0, VL, act, a, b);
        for (idx i = whole * VL; i < count; i++) y[i] = last[i - whole * VL];
    }
}

enum { BINARY_ADD, BINARY_MUL, BINARY_SUB };
ALWAYS void binary_span(const float *x, idx sx, const float *z, idx sz, float *y, int count, int op) {
    for (int i = 0; i < count; i++) {
        const vf a = vload(x + i * sx), b = vload(z + i * sz);
        vstore(y + (idx)i * VL, op == BINARY_ADD ? a + b : op == BINARY_MUL ? a * b : a - b);
    }
}
/* y = x op z of two images of one shape, or of which one has a single pixel (its pitch is 0). */
NEVER void binary_rows(const struct frame *f, const struct image *s, const float *x, const struct image *u, const float *z,
                       const struct image *t, float *y, int op) {
    const int blocks = (t->channels + VL - 1) / VL;
    const idx sx = s->width == 1 && t->width > 1 ? 0 : VL, sz = u->width == 1 && t->width > 1 ? 0 : VL;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const float *p = x + s->first + (s->images == 1 ? 0 : image) * s->image + block * s->plane + (s->height == 1 ? 0 : row) * s->row;
        const float *q = z + u->first + (u->images == 1 ? 0 : image) * u->image + block * u->plane + (u->height == 1 ? 0 : row) * u->row;
        float *o = y + t->first + image * t->image + block * t->plane + row * t->row;
        if (op == BINARY_ADD) binary_span(p, sx, q, sz, o, t->width, BINARY_ADD);
        else if (op == BINARY_MUL) binary_span(p, sx, q, sz, o, t->width, BINARY_MUL);
        else binary_span(p, sx, q, sz, o, t->width, BINARY_SUB);
    }
}

/* y = x * scale + shift, one number of each for every channel. */
NEVER void affine_rows(const struct frame *f, const struct image *s, const float *x, const float *scale, const float *shift,
                       const struct image *t, float *y) {
    const int blocks = (t->channels + VL - 1) / VL;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const float *p = x + s->first + image * s->image + block * s->plane + row * s->row;
        float *o = y + t->first + image * t->image + block * t->plane + row * t->row;
        const vf a = vload(scale + block * VL), b = vload(shift + block * VL);
        for (idx i = 0; i < (idx)t->width * VL; i += VL) vstore(o + i, vload(p + i) * a + b);
    }
}

/* (x - mean) / sqrt(variance + epsilon) * scale + shift over all pixels of a channel: of an image, or of all `slices` of a
 * volume. Sums of rows are added up, so that they stay exact where there are many pixels. */
NEVER void instance_norm(const struct frame *f, const struct image *s, const float *x, const float *scale, const float *shift,
                         const struct image *t, float *y, int slices, float epsilon) {
    const int blocks = (t->channels + VL - 1) / VL;
    const vf share = splat(1.0f / ((float)slices * s->height * s->width));
    SPLIT((idx)s->images / slices * blocks);
    for (idx unit = begin; unit < end; unit++) {
        const idx image = unit / blocks * slices, block = unit % blocks;
        const float *p = x + s->first + image * s->image + block * s->plane;
        float *o = y + t->first + image * t->image + block * t->plane;
        vf mean = {0}, variance = {0};
        for (int pass = 0; pass < 2; pass++) {
            vf whole = {0};
            for (idx r = 0; r < (idx)slices * s->height; r++) {
                const float *row = p + r / s->height * s->image + r % s->height * s->row;
                vf sum = {0};
                for (idx i = 0; i < (idx)s->width * VL; i += VL) {
                    const vf d = vload(row + i) - mean;
                    sum += pass ? d * d : d;
                }
                whole += sum;
            }
            if (pass) variance = whole * share;
            else mean = whole * share;
        }
        const vf factor = vload(scale + block * VL) / __builtin_elementwise_sqrt(variance + splat(epsilon));
        const vf rest = vload(shift + block * VL);
        for (idx r = 0; r < (idx)slices * s->height; r++) {
            const float *row = p + r / s->height * s->image + r % s->height * s->row;
            float *to = o + r / t->height * t->image + r % t->height * t->row;
            for (idx i = 0; i < (idx)s->width * VL; i += VL) vstore(to + i, (vload(row + i) - mean) * factor + rest);
        }
    }
}

struct pool {
    int kd, kh, kw, sd, sh, sw, dd, dh, dw, front, top, left;
    int average; /* 0: largest, 1: average of what lies inside, 2: padding counts */
};
/* The taps of a window that lie inside: first and end, of `taps` `step` apart from `at` on. */
ALWAYS void pool_inside(int at, int step, int taps, int size, int *first, int *end) {
    *first = 0, *end = taps;
    while (*first < *end && at + *first * step < 0) ++*first;
    while (*end > *first && at + (*end - 1) * step >= size) --*end;
}
NEVER void pool_blocked(const struct frame *f, const struct pool *p, const struct image *s, const float *x,
                        const struct image *t, float *y) {
    const int blocks = (t->channels + VL - 1) / VL;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const float *in = x + s->first + block * s->plane;
        float *out = y + t->first + image * t->image + block * t->plane + row * t->row;
        const int iz = image * p->sd - p->front, iy = row * p->sh - p->top;
        int d0, d1, k0, k1, l0, l1;
        pool_inside(iz, p->dd, p->kd, s->images, &d0, &d1);
        pool_inside(iy, p->dh, p->kh, s->height, &k0, &k1);
        for (int column = 0; column < t->width; column++) {
            const int ix = column * p->sw - p->left;
            pool_inside(ix, p->dw, p->kw, s->width, &l0, &l1);
            vf acc = splat(p->average ? 0.0f : -__builtin_inff());
            for (int d = d0; d < d1; d++)
                for (int k = k0; k < k1; k++) {
                    const float *from = in + (iz + d * p->dd) * s->image + (iy + k * p->dh) * s->row + (idx)ix * VL;
                    if (p->average)
                        for (int l = l0; l < l1; l++) acc += vload(from + (idx)l * p->dw * VL);
                    else
                        for (int l = l0; l < l1; l++) acc = vmax(acc, vload(from + (idx)l * p->dw * VL));
                }
            if (p->average)
                acc *= splat(1.0f / (p->average == 1 ? (d1 - d0) * (k1 - k0) * (l1 - l0) : p->kd * p->kh * p->kw));
            vstore(out + (idx)column * VL, acc);
        }
    }
}
/* One pixel of each image of t: of an image of s, or of all slices of a volume. */
NEVER void pool_all(const struct frame *f, const struct image *s, const float *x, const struct image *t, float *y, int largest) {
    const int blocks = (t->channels + VL - 1) / VL, slices = s->images / t->images;
    SPLIT((idx)t->images * blocks);
    for (idx unit = begin; unit < end; unit++) {
        vf acc = splat(largest ? -__builtin_inff() : 0.0f), other = acc;
        for (int d = 0; d < slices; d++) {
            const float *in = x + s->first + (unit / blocks * slices + d) * s->image + unit % blocks * s->plane;
            for (int r = 0; r < s->height; r++)
                for (int c = 0; c < s->width; c++) {
                    const vf v = vload(in + r * s->row + (idx)c * VL);
                    if (largest) acc = vmax(acc, v);
                    else if (c & 1) other += v;
                    else acc += v;
                }
        }
        if (!largest) acc = (acc + other) * splat(1.0f / ((float)slices * s->height * s->width));
        vstore(y + t->first + unit / blocks * t->image + unit % blocks * t->plane, acc);
    }
}

/* Copy blocks of an image into another's, `shift` blocks further; `up` repeats pixels (nearest neighbour, whole factors). */
NEVER void copy_blocks(const struct frame *f, const struct image *s, const float *x, const struct image *t, float *y, int shift,
                       int uph, int upw, int upd) {
    const int blocks = (s->channels + VL - 1) / VL, height = s->height * uph;
    SPLIT((idx)s->images * upd * blocks * height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % height, block = unit / height % blocks, image = unit / height / blocks;
        const float *from = x + s->first + image / upd * s->image + block * s->plane + row / uph * s->row;
        float *to = y + t->first + image * t->image + (block + shift) * t->plane + row * t->row;
        for (int c = 0; c < s->width; c++)
            for (int u = 0; u < upw; u++) vstore(to + ((idx)c * upw + u) * VL, vload(from + (idx)c * VL));
    }
}

/* Each pixel from two neighbours along each axis: their places `at` and weights `by` for slices, then rows, then columns of
 * the output. `line` is room for a row of the input, in which rows and slices are mixed first. */
NEVER void resize_linear(const struct frame *f, const struct image *s, const float *x, const struct image *t, float *y,
                         const int32_t *at, const float *by, float *line) {
    const int blocks = (t->channels + VL - 1) / VL;
    const int32_t *rows = at + 2 * t->images, *columns = rows + 2 * t->height;
    const float *of_rows = by + 2 * t->images, *of_columns = of_rows + 2 * t->height;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        const float *in = x + s->first + block * s->plane;
        float *o = y + t->first + image * t->image + block * t->plane + row * t->row;
        for (int tap = 0, made = 0; tap < 4; tap++) {
            const int d = 2 * image + tap / 2, r = 2 * row + tap % 2;
            const vf weight = splat(by[d] * of_rows[r]);
            if (made && weight[0] == 0) continue;
            const float *from = in + at[d] * s->image + rows[r] * s->row;
            for (idx i = 0; i < (idx)s->width * VL; i += VL)
                vstore(line + i, made ? vload(line + i) + weight * vload(from + i) : weight * vload(from + i));
            made = 1;
        }
        for (idx c = 0; c < t->width; c++)
            vstore(o + c * VL, splat(of_columns[2 * c]) * vload(line + (idx)columns[2 * c] * VL) +
                                   splat(of_columns[2 * c + 1]) * vload(line + (idx)columns[2 * c + 1] * VL));
    }
}
