#include "int8.h"
/* Direct convolution of blocked 8-bit images, and with it every product with a constant matrix (a 1x1 convolution).
 *
 * ROWS x COLUMNS pixels times VECTORS blocks of 16 output channels stay in registers for the whole sum. For one block of
 * input channels and one tap, `steps` quads of input channels lie together; the pixels lie PITCH bytes apart. Weights are
 * read once in the order in which they lie: [group of output blocks][input block][tap][quad][VECTORS][16][4]. */
struct qconv;
typedef void (*qconv_tile)(const struct qconv *c, const q8 *in, const int8_t *w, const int32_t *bias, const float *factor,
                           const q8 *add, char *out, int channels);
struct qconv {
    idx in_image, in_block, in_row;                            /* bytes to the next image, block, output row's input row */
    idx out_image, out_plane, out_row, out_pixel, out_channel; /* bytes; channels lie one by one where sums go out whole */
    idx add_image, add_plane, add_row;
    int images, height, width, blocks, taps, steps, last_steps; /* quads of a tap; in the last block */
    int vectors, sections, channels;                           /* output blocks of a group; of all; channels of all */
    int rows, columns, band;                                   /* of a tile; tiles of a band */
    int kind;                                                  /* 0: bytes, 1: sums of 32 bits, 2: floats */
    struct qfinish finish;
    const idx *tap;
    qconv_tile tile[2], edge[2];                               /* whole tiles and the last ones, by width */
    int edge_columns;
};

/* Sums that go out as they are, or as floats, to wherever each element lies. */
NEVER void qconv_scatter(const struct qconv *c, const int32_t *sums, const float *factor, char *out, int rows, int columns,
                         int vectors, int channels) {
    for (int r = 0; r < rows; r++)
        for (int x = 0; x < columns; x++)
            for (int k = 0; k < MIN(channels, vectors * QB); k++) {
                const int32_t sum = sums[((idx)(r * columns + x) * vectors) * QB + k];
                char *to = out + r * c->out_row + x * c->out_pixel + k * c->out_channel;
                if (c->kind == 1) *(int32_t *)to = sum;
                else *(float *)to = MIN(MAX(sum * factor[k], c->finish.low), c->finish.high);
            }
}

#define Q_AT(P, K) ((P) * VECTORS * QN + (K))
#define Q_EACH(I, N) _Pragma("clang loop unroll(full)") for (int I = 0; I < (N); I++)
/* Q_GROUP pixels of a row, from column `x` on, fewer at its end; of block `v`. */
ALWAYS void qconv_store(const struct qfinish *f, const qi *acc, const qf *factor, const q8 *add, q8 *out, const int r,
                        const int x, const int v, const int COLUMNS, const int VECTORS) {
    const int count = MIN(Q_GROUP, COLUMNS - x);
    const q8 *addends[4];
    qi sums[4];
    qf by[4];
    Q_EACH(k, 4) {
        const int pixel = x + MIN(k / QN, count - 1);
        sums[k] = acc[Q_AT(r * COLUMNS + pixel, v * QN + k % QN)];
        by[k] = factor[k % QN];
        if (add) addends[k] = add + pixel * QB + k % QN * QW;
    }
    qb bytes = q_finish(f, sums, by, add ? addends : 0);
#if QW == 16
    bytes = (qb)__builtin_shufflevector((qi)bytes, (qi)bytes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
#elif QW == 8
    bytes = (qb)__builtin_shufflevector((qi)bytes, (qi)bytes, 0, 4, 1, 5, 2, 6, 3, 7);
#endif
    out += x * QB;
    if (count == Q_GROUP) *(qb *)out = bytes;
    else Q_EACH(i, count) *(q16 *)(out + i * QB) = ((const q16 *)&bytes)[i];
}

ALWAYS void qconv_micro(const struct qconv *c, const q8 *in, const int8_t *w, const int32_t *bias, const float *factor,
                        const q8 *add, char *out, int channels, const int ROWS, const int COLUMNS, const int VECTORS,
                        const int PITCH) {
    qi acc[64]; /* not by the parameters: arrays of variable length would live on the stack */
#define Q_PIXEL(P) ((P) / COLUMNS * in_row + (P) % COLUMNS * PITCH)
    Q_EACH(k, VECTORS * QN) {
        const qi start = q_load(bias + k * QW);
        Q_EACH(p, ROWS * COLUMNS) acc[Q_AT(p, k)] = start;
    }
    const idx in_row = c->in_row, in_block = c->in_block;
    const int taps = c->taps, blocks = c->blocks;
    for (int block = 0; block < blocks; block++) {
        const int steps = block + 1 == blocks ? c->last_steps : c->steps, skip = c->steps - steps;
        for (int t = 0; t < taps; t++) {
            const q8 *x = in + block * in_block + c->tap[t];
            int k = 0;
#ifdef Q_DOT
            for (; k + 4 <= steps; k += 4, x += 16) { /* four quads of each pixel in one vector */
                int8x16_t xs[32];
                Q_EACH(p, ROWS * COLUMNS) xs[p] = *(const q16 *)(x + Q_PIXEL(p));
#define Q_LANE(J)                                                                                                     \
    Q_EACH(v, VECTORS * QN) {                                                                                         \
        const int8x16_t weight = (int8x16_t)q_load(w + v * QW * 4);                                                   \
        Q_EACH(p, ROWS * COLUMNS)                                                                                     \
        acc[Q_AT(p, v)] = (qi)vdotq_laneq_s32((int32x4_t)acc[Q_AT(p, v)], weight, xs[p], J);                          \
    }                                                                                                                 \
    w += VECTORS * Q_STEP;
                Q_LANE(0) Q_LANE(1) Q_LANE(2) Q_LANE(3)
            }
#endif
            for (; k < steps; k++, x += 4, w += VECTORS * Q_STEP) {
#ifdef Q_WIDE
                h4 xs[32];
                Q_EACH(p, ROWS * COLUMNS) xs[p] = __builtin_convertvector(*(const q4 *)(x + Q_PIXEL(p)), h4);
#define Q_LANE(J)                                                                                                     \
    Q_EACH(v, VECTORS * QN) {                                                                                         \
        const qi weight = __builtin_convertvector(((const h4 *)w)[(v / QN * 4 + J) * QN + v % QN], qi);               \
        Q_EACH(p, ROWS * COLUMNS)                                                                                     \
        acc[Q_AT(p, v)] += __builtin_convertvector(__builtin_shufflevector(xs[p], xs[p], J, J, J, J), qi) * weight;   \
    }
                Q_LANE(0) Q_LANE(1) Q_LANE(2) Q_LANE(3)
#else
                Q_EACH(p, ROWS * COLUMNS) {
                    const qx quads = q_quads(q_splat(q_quad(x + Q_PIXEL(p))));
                    Q_EACH(v, VECTORS * QN) acc[Q_AT(p, v)] = q_dot(acc[Q_AT(p, v)], quads, w + v * (Q_STEP / QN));
                }
#endif
            }
            w += (idx)skip * VECTORS * Q_STEP;
        }
    }
    const struct qfinish finish = c->finish; /* a copy: stores of bytes may change what lies behind a pointer */
    if (c->kind) {
        int32_t sums[ROWS * COLUMNS * VECTORS * QB];
        Q_EACH(p, ROWS * COLUMNS) Q_EACH(k, VECTORS * QN) *(qi *)(sums + Q_AT(p, k) * QW) = acc[Q_AT(p, k)];
        qconv_scatter(c, sums, factor, out, ROWS, COLUMNS, VECTORS, channels);
    } else if (add) {
        Q_EACH(v, VECTORS) Q_EACH(r, ROWS) Q_EACH(x, (COLUMNS + Q_GROUP - 1) / Q_GROUP)
        qconv_store(&finish, acc, (const qf *)factor + v * QN, add + v * c->add_plane + r * c->add_row,
                    (q8 *)out + v * c->out_plane + r * c->out_row, r, x * Q_GROUP, v, COLUMNS, VECTORS);
    } else {
        Q_EACH(v, VECTORS) Q_EACH(r, ROWS) Q_EACH(x, (COLUMNS + Q_GROUP - 1) / Q_GROUP)
        qconv_store(&finish, acc, (const qf *)factor + v * QN, 0, (q8 *)out + v * c->out_plane + r * c->out_row, r, x * Q_GROUP, v,
                    COLUMNS, VECTORS);
    }
}
#define QCONV_TILE(NAME, ROWS, COLUMNS, VECTORS, PITCH)                                                               \
    NEVER void NAME(const struct qconv *c, const q8 *in, const int8_t *w, const int32_t *bias, const float *factor,   \
                    const q8 *add, char *out, int channels) {                                                         \
        qconv_micro(c, in, w, bias, factor, add, out, channels, ROWS, COLUMNS, VECTORS, PITCH);                       \
    }

/* Tiles [first, end) for one group of output blocks. */
ALWAYS void qconv_tiles(const struct qconv *c, const q8 *in, const int8_t *w, const int32_t *bias, const float *factor,
                        const q8 *add, char *out, int first, int end, int vectors, int channels, idx pitch) {
    const int narrow = vectors != c->vectors, across = (c->width + c->columns - 1) / c->columns;
    int y = first / across * c->rows, x = first % across * c->columns;
    for (int t = first; t < end; t++) {
        const int last = c->height - y < c->rows || x + c->columns > c->width;
        const qconv_tile tile = last ? c->edge[narrow] : c->tile[narrow];
        tile(c, in + y * c->in_row + x * pitch, w, bias, factor, add ? add + y * c->add_row + (idx)x * QB : 0,
             out + y * c->out_row + x * c->out_pixel, channels);
        x += c->columns;
        if (x >= c->width) x = 0, y += c->rows;
    }
}

/* Groups of output channels inside bands of tiles, whose input stays in the second-level cache. */
NEVER void qconv_direct(const struct qconv *c, const struct frame *f, const q8 *in, const int8_t *w, const int32_t *bias,
                        const float *factor, const q8 *add, void *out, idx pitch) {
    const int groups = (c->sections + c->vectors - 1) / c->vectors;
    const int tiles = (c->height + c->rows - 1) / c->rows * ((c->width + c->columns - 1) / c->columns);
    const idx size = ((idx)(c->blocks - 1) * c->steps + c->steps) * c->taps * Q_STEP; /* of one output block's weights */
    int g0 = 0, g1 = groups, t0 = 0, t1 = tiles;
    const float by_groups = (float)((groups + f->nt - 1) / f->nt * f->nt) / groups;
    const float by_tiles = (float)((tiles + f->nt - 1) / f->nt * f->nt) / tiles;
    if (f->nt > 1 && by_groups > by_tiles * 1.04f) {
        SPLIT(tiles);
        t0 = begin, t1 = end;
    } else {
        SPLIT(groups);
        g0 = begin, g1 = end;
    }
    for (int image = 0; image < c->images; image++)
        for (int t = t0; t < t1; t += c->band)
            for (int g = g0; g < g1; g++) {
                const int block = g * c->vectors, vectors = MIN(c->vectors, c->sections - block);
                qconv_tiles(c, in + image * c->in_image, w + block * size, bias + block * QB, factor + block * QB,
                            add ? add + image * c->add_image + block * c->add_plane : 0,
                            (char *)out + image * c->out_image + block * c->out_plane, t, MIN(t + c->band, t1), vectors,
                            c->channels - block * QB, pitch);
            }
}
