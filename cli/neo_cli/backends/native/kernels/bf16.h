#include "conv.h"
/* Convolutions and products with operands in bfloat16 and sums in float. Tensors stay float between the steps: a band of
 * the input is rounded (to nearest, ties to even) into a buffer that stays in the second-level cache while all its output
 * channels are made. The buffer is [block of 32 channels][line][pixel][32], and is counted in words of two channels; where
 * the input has few channels, each a plane of its own, a pixel of the buffer is its whole window instead. */
struct halves {
    struct conv c;                 /* of the buffer */
    idx image, plane, line, pixel; /* floats of the source to the next image, block of VL, and the buffer's next line, pixel */
    int sources;                   /* blocks of VL */
    int words, windows;            /* of a pixel in a block; rows of a window, at `window` of the source, each `window_row` */
    const idx *window;
    int window_row;
    int flat;                      /* all pixels in one line: a unit of work is a tile; else a row of tiles */
    int stride, span;              /* lines from one output row's to the next one's; that a row needs */
    int width;                     /* pixels of a line of the buffer */
    int band;                      /* units at a time */
    const unsigned char *tiles;    /* how the tile registers are shaped (AMX) */
};
enum { HALF_WORDS = 16 };          /* of a tile register's row */

typedef uint16_t vh __attribute__((vector_size(VL * 2), aligned(2), may_alias));
ALWAYS vh to_half(vf x) {
#if VL == 16 && defined(__AVX512BF16__)
    typedef __bf16 rounded __attribute__((vector_size(VL * 2)));
    return (vh)__builtin_convertvector((__attribute__((vector_size(VL * 4))) float)x, rounded);
#else
    typedef uint32_t bits __attribute__((vector_size(VL * 4), aligned(4), may_alias));
    const bits u = (bits)x, nearest = u + 0x7fff + ((u >> 16) & 1), nan = (bits)(x != x);
    return __builtin_convertvector(((nearest & ~nan) | ((u | 0x400000) & nan)) >> 16, vh);
#endif
}

/* Round the windows of `count` pixels of `lines` lines. What a vector holds behind a row is written over by the next one. */
NEVER void halves_windows(const struct halves *h, const float *in, int lines, int count, float *buffer) {
    for (int l = 0; l < lines; l++)
        for (int p = 0; p < count; p++) {
            const float *from = in + l * h->line + p * h->pixel;
            uint16_t *to = (uint16_t *)(buffer + ((idx)l * h->width + p) * h->words), *end = to + 2 * h->words;
            for (int i = 0; i < h->windows; i++, to += h->window_row) *(vh *)to = to_half(vload(from + h->window[i]));
            for (; to < end; to += VL) *(vh *)to = (vh){0};
        }
}
/* Round blocks [b0, b1) of `count` pixels of `lines` lines into the buffer; a block of 32 channels is two of the source. */
NEVER void halves_fill(const struct halves *h, const float *in, int b0, int b1, int lines, int count, float *buffer) {
    for (int b = b0; b < b1; b++)
        for (int l = 0; l < lines; l++) {
            const float *low = in + 2 * b * h->plane + l * h->line, *high = low + h->plane;
            uint16_t *to = (uint16_t *)(buffer + b * h->c.in_block + (idx)l * h->width * h->words);
            if (2 * b + 1 < h->sources)
                for (idx p = 0; p < count; p++) {
                    *(vh *)(to + p * 2 * VL) = to_half(vload(low + p * h->pixel));
                    *(vh *)(to + p * 2 * VL + VL) = to_half(vload(high + p * h->pixel));
                }
            else
                for (idx p = 0; p < count; p++) {
                    *(vh *)(to + p * 2 * VL) = to_half(vload(low + p * h->pixel));
                    *(vh *)(to + p * 2 * VL + VL) = (vh){0};
                }
        }
}

#define HALF_TILE(NAME, ROWS, COLUMNS, VECTORS, PITCH)                                                                \
    NEVER void NAME(const struct conv *c, const float *in, const float *w, const float *bias, const float *add,       \
                    float *out, int blocks, int flags, const char *ahead) {                                           \
        conv_micro(c, in, w, bias, add, out, blocks, flags, ahead, ROWS, COLUMNS, VECTORS, PITCH, 0, 0, 1, VL);       \
    }

#ifdef USE_TILES
#ifndef TILE_LOAD /* the tests put a model of the registers in the instructions' place */
#define TILE_SHAPE(P) __builtin_ia32_tile_loadconfig(P)
#define TILE_RELEASE() __builtin_ia32_tilerelease()
#define TILE_LOAD(T, P, STEP) __builtin_ia32_tileloadd64(T, P, STEP)
#define TILE_STORE(T, P, STEP) __builtin_ia32_tilestored64(T, P, STEP)
#define TILE_PRODUCT(SUM, A, B) __builtin_ia32_tdpbf16ps(SUM, A, B)
#endif
/* AMX: M0 and M1 pixels times one or two vectors. Registers 0 to 3 are sums [pixels][vector], 4 and 5 pixels, 6 and 7
 * weights; the second pixels lie behind the first or, when NEXT_ROW, below them. A row of a sum is a block of the output. */
ALWAYS void tiles_micro(const struct conv *c, const float *in, const float *w, const float *bias, const float *add, float *out,
                        int blocks, int flags, const char *ahead, const int M0, const int M1, const int NEXT_ROW,
                        const int VECTORS, const int PITCH) {
    const idx in_step = NEXT_ROW ? c->in_row : M0 * PITCH, out_step = NEXT_ROW ? c->out_row : M0 * VL, plane = c->out_plane;
    if (flags & CONV_FIRST) { /* a step of 0 puts the bias into every row */
        TILE_LOAD(0, bias, 0);
        if (VECTORS > 1) TILE_LOAD(1, bias + VL, 0);
        if (M1) TILE_LOAD(2, bias, 0);
        if (M1 && VECTORS > 1) TILE_LOAD(3, bias + VL, 0);
    } else {
        TILE_LOAD(0, out, VL * 4);
        if (VECTORS > 1) TILE_LOAD(1, out + plane, VL * 4);
        if (M1) TILE_LOAD(2, out + out_step, VL * 4);
        if (M1 && VECTORS > 1) TILE_LOAD(3, out + plane + out_step, VL * 4);
    }
    for (int block = 0; block < blocks; block++)
        for (int t = 0; t < c->taps; t++) {
            const float *x = in + block * c->in_block + c->tap[t];
            for (int i = flags >> CONV_AHEAD; i > 0; i--, ahead += 64) __builtin_prefetch(ahead, 0, 2);
            for (int k = 0; k < c->run; k += HALF_WORDS) {
                TILE_LOAD(6, w, VECTORS * VL * 4);
                if (VECTORS > 1) TILE_LOAD(7, w + VL, VECTORS * VL * 4);
                TILE_LOAD(4, x + k, PITCH * 4);
                TILE_PRODUCT(0, 4, 6);
                if (VECTORS > 1) TILE_PRODUCT(1, 4, 7);
                if (M1) {
                    TILE_LOAD(5, x + k + in_step, PITCH * 4);
                    TILE_PRODUCT(2, 5, 6);
                    if (VECTORS > 1) TILE_PRODUCT(3, 5, 7);
                }
                w += HALF_WORDS * VECTORS * VL;
            }
        }
    TILE_STORE(0, out, VL * 4);
    if (VECTORS > 1) TILE_STORE(1, out + plane, VL * 4);
    if (M1) TILE_STORE(2, out + out_step, VL * 4);
    if (M1 && VECTORS > 1) TILE_STORE(3, out + plane + out_step, VL * 4);
    if (!(flags & CONV_LAST) || !(add || c->low > -__builtin_inff() || c->high < __builtin_inff())) return;
    const idx add_step = NEXT_ROW ? c->add_row : M0 * VL;
    const vf low = splat(c->low), high = splat(c->high);
    for (int v = 0; v < VECTORS; v++)
        for (int p = 0; p < M0 + M1; p++) {
            const int second = p >= M0, at = (second ? p - M0 : p) * VL;
            float *y = out + v * plane + second * out_step + at;
            vf value = vload(y);
            if (add) value += vload(add + v * c->add_plane + second * add_step + at);
            vstore(y, vclip(value, low, high));
        }
}
/* Register shapes for M0 and M1 pixels; OTHER is what the registers are shaped for outside, where it is not this. */
#define TILES_SHAPE(M0, M1)                                                                                           \
    static const _Alignas(64) unsigned char tiles_##M0##_##M1[64] = {                                                 \
        [0] = 1, [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64, [30] = 64,              \
        [48] = M0, [49] = M0, [50] = M1 ? M1 : 1, [51] = M1 ? M1 : 1, [52] = M0, [53] = M1 ? M1 : 1, [54] = 16, [55] = 16};
#define TILES_TILE(NAME, M0, M1, NEXT_ROW, VECTORS, PITCH, OWN, OTHER)                                                \
    NEVER void NAME(const struct conv *c, const float *in, const float *w, const float *bias, const float *add,       \
                    float *out, int blocks, int flags, const char *ahead) {                                           \
        if (OWN != OTHER) TILE_SHAPE(OWN);                                                                            \
        tiles_micro(c, in, w, bias, add, out, blocks, flags, ahead, M0, M1, NEXT_ROW, VECTORS, PITCH);                \
        if (OWN != OTHER) TILE_SHAPE(OTHER);                                                                          \
    }
#endif

/* Where one buffer holds the whole input, all threads fill it, a step before the convolution. */
NEVER void halves_share(const struct halves *h, const struct frame *f, const float *in, float *buffer) {
    SPLIT(h->c.blocks);
    const int lines = h->flat ? 1 : (h->c.height - 1) * h->stride + h->span;
    halves_fill(h, in, begin, end, lines, h->flat ? h->c.width : h->width, buffer);
}

/* The whole convolution; `buffer` is this thread's or, when `shared`, filled. A thread has some units, or some channels. */
NEVER void conv_halves(const struct halves *h, const struct frame *f, const float *in, const float *w, const float *bias,
                       const float *add, float *out, float *buffer, int shared) {
    const struct conv *c = &h->c;
    const int groups = (c->sections + c->vectors - 1) / c->vectors, across = (c->width + c->columns - 1) / c->columns;
    const int units = h->flat ? across : (c->height + c->rows - 1) / c->rows, tiles = h->flat ? 1 : across;
    int g0 = 0, g1 = groups, u0 = 0, u1 = units;
    const int by_units = conv_balance(groups, f->nt) > conv_balance(units, f->nt) * 1.04f;
    {
        SPLIT(by_units ? units : groups);
        if (by_units) u0 = begin, u1 = end;
        else g0 = begin, g1 = end;
    }
    if (f->bottom) u0 = f->top, u1 = f->bottom; /* tiles are one row high then */
    if (g0 >= g1) return;
#ifdef USE_TILES
    TILE_SHAPE(h->tiles);
#endif
    for (int image = 0; image < c->images; image++)
        for (int u = u0; u < u1; u += h->band) {
            const int end = MIN(u + h->band, u1), size = h->flat ? c->columns : c->rows;
            const int first = u * size, last = MIN(end * size, h->flat ? c->width : c->height); /* pixels, or output rows */
            const idx begin = shared ? 0 : h->flat ? first : (idx)first * h->stride * h->width;
            if (shared) ;
            else if (h->windows) halves_windows(h, in + image * h->image + first * h->line, last - first, h->width, buffer);
            else if (h->flat) halves_fill(h, in + image * h->image + first * h->pixel, 0, c->blocks, 1, last - first, buffer);
            else halves_fill(h, in + image * h->image + first * h->stride * h->line, 0, c->blocks,
                             (last - first - 1) * h->stride + h->span, h->width, buffer);
            conv_band(c, buffer - begin * h->words, w, bias, add ? add + image * c->add_image : 0, out + image * c->out_image,
                      u * tiles, end * tiles, g0, g1);
        }
#ifdef USE_TILES
    TILE_RELEASE();
#endif
}
