#include "vector.h"
/* Direct convolution between blocked images, and with it every product with a constant matrix (a 1x1 convolution).
 *
 * One micro-kernel: ROWS x COLUMNS pixels times VECTORS vectors of output channels stay in registers. For one block of
 * input channels and one tap, the `run` weights' inputs lie together, and the pixels PITCH floats apart. Weights lie in
 * the order in which they are read: [group of output vectors][block][tap][run][VECTORS * VL].
 *
 * The images may be slices of a volume, which taps cross. OUT is the floats between output pixels: more than VL where
 * several convolutions write the output of a transposed one between them. */
struct conv;
typedef void (*conv_tile)(const struct conv *c, const float *in, const float *w, const float *bias, const float *add,
                          float *out, int blocks, int flags, const char *ahead);
struct conv {
    idx in_image, in_block, in_row;             /* floats to the next image, block, output row's input row */
    idx out_image, out_plane, out_row, out_pixel, add_image, add_plane, add_row; /* out_pixel 0: VL, of the summand too */
    int images, height, width, blocks, panel, taps, run, pitch;
    int skip;                                   /* the last of a block's `run` in the last block, which are padding */
    int vectors, sections;                      /* output vectors of a group; of all */
    int rows, columns, band;                    /* of a tile; tiles of a band */
    int panels_first, together;                 /* images for which a panel stays in the cache; 0 is 1 */
    int act, add_after;
    float a, b, low, high;
    const idx *tap;
    conv_tile tile[2], edge[2];                 /* whole tiles and the last ones of a row (or the last row), by width */
    int edge_columns;                           /* 0: no narrower tile */
};
enum { CONV_FIRST = 1, CONV_LAST = 2, CONV_AHEAD = 2 }; /* from this bit on: lines of `ahead` to ask for at each tap */

/* acc + the products of two bfloat16 numbers, a word at x, with VL such words: what tiles with PAIRS are made of (bf16.h). */
ALWAYS vf conv_pairs(vf acc, const float *x, vf w) {
#if VL == 16 && defined(__AVX512BF16__)
    typedef __bf16 pairs __attribute__((vector_size(64)));
    typedef int32_t word __attribute__((may_alias));
    return (vf)__builtin_ia32_dpbf16ps_512((__attribute__((vector_size(64))) float)acc, (pairs)w, (pairs)(*(const word *)x - (vi){0}));
#else
    return acc;
#endif
}

ALWAYS void conv_micro(const struct conv *c, const float *in, const float *w, const float *bias, const float *add, float *out,
                       int blocks, int flags, const char *ahead, const int ROWS, const int COLUMNS, const int VECTORS,
                       const int PITCH, const int LANES, const int RUN, const int PAIRS, const int OUT) {
    vf acc[32][6]; /* not by the parameters: arrays of variable length would live on the stack */
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) {
        if (flags & CONV_FIRST) {
            const vf start = vload(bias + v * VL);
#pragma clang loop unroll(full)
            for (int p = 0; p < ROWS * COLUMNS; p++) acc[p][v] = start;
        } else {
#pragma clang loop unroll(full)
            for (int p = 0; p < ROWS * COLUMNS; p++)
                acc[p][v] = vload(out + v * c->out_plane + p / COLUMNS * c->out_row + p % COLUMNS * OUT);
        }
    }
    const idx in_row = c->in_row, in_block = c->in_block;
    const int taps = c->taps, run = RUN ? RUN : c->run; /* a short run is written out */
    const idx *const tap = c->tap;
    const int whole = run;
    for (int block = 0; block < blocks; block++) {
        const int skip = !RUN && (flags & CONV_LAST) && block + 1 == blocks ? c->skip : 0, run = whole - skip;
        for (int t = 0; t < taps; t++) {
            const float *x = in + block * in_block + tap[t];
            for (int i = LANES ? 0 : flags >> CONV_AHEAD; i > 0; i--, ahead += 64) __builtin_prefetch(ahead, 0, 2);
            if (LANES) { /* four steps of each pixel in one vector, multiplied by its lanes */
                for (int k = 0; k < run; k += 4) {
                    v4 xs[32];
#pragma clang loop unroll(full)
                    for (int p = 0; p < ROWS * COLUMNS; p++)
                        xs[p] = *(const v4 *)(x + k + p / COLUMNS * in_row + p % COLUMNS * PITCH);
#define CONV_LANE(J)                                                                                            \
    {                                                                                                      \
        vf weight[6];                                                                                \
        _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++) weight[v] = vload(w + v * VL); \
        _Pragma("clang loop unroll(full)") for (int p = 0; p < ROWS * COLUMNS; p++) {                      \
            const vf s = CONV_LANE_OF(xs[p], J);                                                                \
            _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++) acc[p][v] += s * weight[v]; \
        }                                                                                                  \
        w += VECTORS * VL;                                                                                 \
    }
#if VL == 4
#define CONV_LANE_OF(X, J) __builtin_shufflevector(X, X, J, J, J, J)
#else
#define CONV_LANE_OF(X, J) splat((X)[J])
#endif
                    CONV_LANE(0) CONV_LANE(1) CONV_LANE(2) CONV_LANE(3)
                }
            } else {
#define CONV_STEP                                                                                                              \
    {                                                                                                                     \
        vf weight[6];                                                                                                     \
        _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++) weight[v] = vload(w + v * VL);                \
        _Pragma("clang loop unroll(full)") for (int p = 0; p < ROWS * COLUMNS; p++) {                                     \
            const float *at = x + k + p / COLUMNS * in_row + p % COLUMNS * PITCH;                                         \
            _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++)                                          \
                acc[p][v] = PAIRS ? conv_pairs(acc[p][v], at, weight[v]) : acc[p][v] + splat(*at) * weight[v];            \
        }                                                                                                                 \
        w += VECTORS * VL;                                                                                                \
    }
                if (RUN) {
                    /* in order: else all loads are put before the first product, and the registers do not suffice */
#pragma clang loop unroll(full)
                    for (int k = 0; k < RUN; k++) {
                        CONV_STEP
                        __asm__ volatile("" : : : "memory");
                    }
                } else {
#pragma clang loop unroll_count(4)
                    for (int k = 0; k < run; k++) CONV_STEP
                }
            }
            w += (idx)skip * VECTORS * VL;
        }
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) {
        float *y = out + v * c->out_plane;
        if (flags & CONV_LAST) {
            if (add) {
                const float *s = add + v * c->add_plane;
#pragma clang loop unroll(full)
                for (int p = 0; p < ROWS * COLUMNS; p++)
                    acc[p][v] += vload(s + p / COLUMNS * c->add_row + p % COLUMNS * OUT);
            }
            const vf low = splat(c->low), high = splat(c->high);
#pragma clang loop unroll(full)
            for (int p = 0; p < ROWS * COLUMNS; p++)
                vstore(y + p / COLUMNS * c->out_row + p % COLUMNS * OUT, vclip(acc[p][v], low, high));
        } else {
#pragma clang loop unroll(full)
            for (int p = 0; p < ROWS * COLUMNS; p++) vstore(y + p / COLUMNS * c->out_row + p % COLUMNS * OUT, acc[p][v]);
        }
    }
}
#define CONV_TILE_APART(NAME, ROWS, COLUMNS, VECTORS, PITCH, LANES, RUN, OUT)                                              \
    NEVER void NAME(const struct conv *c, const float *in, const float *w, const float *bias, const float *add,          \
                    float *out, int blocks, int flags, const char *ahead) {                                             \
        conv_micro(c, in, w, bias, add, out, blocks, flags, ahead, ROWS, COLUMNS, VECTORS, PITCH, LANES, RUN, 0, OUT);       \
    }
#define CONV_TILE(NAME, ROWS, COLUMNS, VECTORS, PITCH, LANES, RUN) CONV_TILE_APART(NAME, ROWS, COLUMNS, VECTORS, PITCH, LANES, RUN, VL)

/* Activations other than clipping: a second pass over the tile, which is still in the first-level cache. */
NEVER void conv_finish(const struct conv *c, float *out, const float *add, int rows, int columns, int vectors) {
    for (int v = 0; v < vectors; v++)
        for (int r = 0; r < rows; r++) {
            float *y = out + v * c->out_plane + r * c->out_row;
            const float *x = y;
            const float *added = add ? add + v * c->add_plane + r * c->add_row : 0;
            if (c->out_pixel > VL)
                for (idx i = 0; i < columns * c->out_pixel; i += c->out_pixel)
                    act_run(y + i, x + i, added ? added + i : 0, VL, c->act, c->a, c->b);
            else
                act_run(y, x, added, (idx)columns * VL, c->act, c->a, c->b);
        }
}

/* Tiles [first, end) for one group of output vectors and one panel of input blocks. */
ALWAYS void conv_tiles(const struct conv *c, const float *in, const float *w, const float *bias, const float *add, float *out,
                       int first, int end, int vectors, int blocks, int flags, const char *ahead, idx ahead_bytes) {
    const int narrow = vectors != c->vectors, after = c->add_after, across = (c->width + c->columns - 1) / c->columns;
    const int finish = (flags & CONV_LAST) && (c->act > ACT_CLIP || after);
    const char *const ahead_end = ahead + ahead_bytes;
    /* The next weights come while up to eight tiles are made: asked for at once, or again and again, they cost more. */
    const idx asks = (idx)MIN(MAX(end - first, 2), 8) * blocks * c->taps, lines = (ahead_bytes / 64 + asks - 1) / asks;
    const idx step = (idx)blocks * c->taps * lines * 64; /* what one tile asks for */
    flags |= (int)lines << CONV_AHEAD;
    const idx pixel = MAX(VL, c->out_pixel);
    int y = first / across * c->rows, x = first % across * c->columns;
    for (int t = first; t < end; t++) {
        const int rows = MIN(c->rows, c->height - y), last = rows < c->rows || x + c->columns > c->width;
        const int columns = rows < c->rows ? c->columns : last ? c->edge_columns : c->columns;
        const conv_tile tile = last ? c->edge[narrow] : c->tile[narrow];
        float *o = out + y * c->out_row + x * pixel;
        const float *r = add ? add + y * c->add_row + x * pixel : 0;
        tile(c, in + y * c->in_row + (idx)x * c->pitch, w, bias, after ? 0 : r, o, blocks, flags, ahead);
        if (finish) conv_finish(c, o, after ? r : 0, rows, columns, vectors);
        if (ahead + step < ahead_end) ahead += step;
        else ahead = (const char *)w, flags &= (1 << CONV_AHEAD) - 1;
        x += columns;
        if (x >= c->width) x = 0, y += c->rows;
    }
}

/* The share of the slowest of n threads in `units` equal pieces, times n: 1 is a perfect split. */
ALWAYS float conv_balance(int units, int n) { return (float)((units + n - 1) / n * n) / units; }

/* Where the weights of a group of output vectors begin, from input block k on. */
ALWAYS const float *conv_weights(const struct conv *c, const float *w, int g, int k) {
    const int vectors = MIN(c->vectors, c->sections - g * c->vectors);
    return w + (idx)c->taps * c->run * VL * ((idx)c->blocks * c->vectors * g + (idx)k * vectors);
}

/* Tiles [t0, t1) of some images for groups [g0, g1): panels inside groups; or outside, where the input would not stay in
 * the second-level cache but the output does. */
NEVER void conv_bands(const struct conv *c, const float *in, const float *w, const float *bias, const float *add, float *out,
                      int images, int t0, int t1, int g0, int g1) {
    const int panels = (c->blocks + c->panel - 1) / c->panel, count = g1 - g0;
    const float *wp = conv_weights(c, w, g0, 0);
    for (int i = 0; i < count * panels; i++) {
        const int g = g0 + (c->panels_first ? i % count : i / panels);
        const int k = (c->panels_first ? i / count : i % panels) * c->panel;
        const float *next = conv_weights(c, w, g0 + (c->panels_first ? (i + 1) % count : (i + 1) / panels),
                                         (c->panels_first ? (i + 1) / count : (i + 1) % panels) * c->panel);
        const int vectors = MIN(c->vectors, c->sections - g * c->vectors), blocks = MIN(c->panel, c->blocks - k);
        const int flags = (k == 0 ? CONV_FIRST : 0) | (k + blocks == c->blocks ? CONV_LAST : 0);
        const idx plane = g * c->vectors;
        for (int image = 0; image < images; image++)
            conv_tiles(c, in + image * c->in_image + k * c->in_block, wp, bias + plane * VL,
                       add ? add + image * c->add_image + plane * c->add_plane : 0,
                       out + image * c->out_image + plane * c->out_plane, t0, t1, vectors, blocks, flags, (const char *)next,
                       (idx)c->taps * c->run * VL * blocks * vectors * 4);
        wp = next;
    }
}
ALWAYS void conv_band(const struct conv *c, const float *in, const float *w, const float *bias, const float *add, float *out,
                      int t0, int t1, int g0, int g1) {
    conv_bands(c, in, w, bias, add, out, 1, t0, t1, g0, g1);
}

/* Panels in the first-level cache, inside groups of output channels, inside bands of tiles in the second level. */
NEVER void conv_direct(const struct conv *c, const struct frame *f, const float *in, const float *w, const float *bias,
                       const float *add, float *out) {
    const int groups = (c->sections + c->vectors - 1) / c->vectors;
    const int tiles = (c->height + c->rows - 1) / c->rows * ((c->width + c->columns - 1) / c->columns);
    int g0 = 0, g1 = groups, t0 = 0, t1 = tiles;
    const int by_tiles = conv_balance(groups, f->nt) > conv_balance(tiles, f->nt) * 1.04f;
    {
        SPLIT(by_tiles ? tiles : groups);
        if (by_tiles) t0 = begin, t1 = end;
        else g0 = begin, g1 = end;
    }
    if (f->bottom) { /* tiles are one row high then */
        t0 = f->top * (tiles / c->height), t1 = f->bottom * (tiles / c->height);
    }
    const int together = MAX(1, c->together);
    for (int image = 0; image < c->images; image += together)
        for (int t = t0; t < t1; t += c->band)
            conv_bands(c, in + image * c->in_image, w, bias, add ? add + image * c->add_image : 0,
                       out + image * c->out_image, MIN(together, c->images - image), t, MIN(t + c->band, t1), g0, g1);
}
