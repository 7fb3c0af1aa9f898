#include "int8_blocked.h"
/* Tables of 256 bytes, and copies of blocks, on blocked 8-bit images and on rows. */
ALWAYS void q_look_up(const q8 *x, q8 *y, idx count, const uint8_t *table) {
    idx i = 0;
#if defined(__AVX512VBMI__) && QW == 16
    typedef char v __attribute__((vector_size(64)));
    typedef char u __attribute__((vector_size(64), aligned(1), may_alias));
    const v a = *(const u *)table, b = *(const u *)(table + 64), c = *(const u *)(table + 128), d = *(const u *)(table + 192);
    for (; i + 64 <= count; i += 64) {
        const v at = *(const u *)(x + i);
        const v low = (v)__builtin_ia32_vpermi2varqi512(a, at, b), high = (v)__builtin_ia32_vpermi2varqi512(c, at, d);
        const v top = at < 0;
        *(u *)(y + i) = (high & top) | (low & ~top);
    }
#endif
    for (; i < count; i++) y[i] = (q8)table[(uint8_t)x[i]];
}
NEVER void q_table_rows(const struct frame *f, const struct qimage *s, const q8 *x, const struct qimage *t, q8 *y,
                        const uint8_t *table) {
    const int blocks = (t->channels + t->block - 1) / t->block;
    SPLIT((idx)t->images * blocks * t->height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % t->height, block = unit / t->height % blocks, image = unit / t->height / blocks;
        q_look_up(x + s->first + image * s->image + block * s->plane + row * s->row,
                  y + t->first + image * t->image + block * t->plane + row * t->row, (idx)t->width * t->block, table);
    }
}
NEVER void q_table_flat(const struct frame *f, const q8 *x, q8 *y, idx count, const uint8_t *table) {
    SPLIT(count);
    q_look_up(x + begin, y + begin, end - begin, table);
}
/* Copy blocks of an image into another's, `shift` blocks further; `up` repeats pixels (nearest neighbour, whole factors). */
NEVER void q_copy(const struct frame *f, const struct qimage *s, const q8 *x, const struct qimage *t, q8 *y, int shift, int uph,
                  int upw) {
    const int blocks = (s->channels + QB - 1) / QB, height = s->height * uph;
    SPLIT((idx)s->images * blocks * height);
    for (idx unit = begin; unit < end; unit++) {
        const int row = unit % height, block = unit / height % blocks, image = unit / height / blocks;
        const q8 *from = x + s->first + image * s->image + block * s->plane + row / uph * s->row;
        q8 *to = y + t->first + image * t->image + (block + shift) * t->plane + row * t->row;
        for (int c = 0; c < s->width; c++)
            for (int u = 0; u < upw; u++) *(q16 *)(to + ((idx)c * upw + u) * QB) = *(const q16 *)(from + (idx)c * QB);
    }
}
