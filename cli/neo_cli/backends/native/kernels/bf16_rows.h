#include "bf16.h"
#include "blocked.h"
#include "rows.h"
/* Attention whose products are made in bfloat16: keys and values are packed in words as weights are. */

typedef uint32_t vw __attribute__((vector_size(VL * 4), aligned(4), may_alias));
/* Words of two rows: `even` in the lower halves. */
ALWAYS vw half_words(vf even, vf odd) {
    return __builtin_convertvector(to_half(even), vw) | __builtin_convertvector(to_half(odd), vw) << 16;
}

/* Keys [part][key][VL] to [vectors of keys][words of channels][vectors * VL], zeros to whole blocks and vectors. */
ALWAYS void halves_keys(const struct attention *c, const struct conv *s, const float *k, idx plane, float *t) {
    const int rows = s->blocks * HALF_WORDS, parts = c->width / VL;
    float turned[VL * VL / 2];
    for (int g = 0; g < s->sections; g += s->vectors) {
        const int step = MIN(s->vectors, s->sections - g) * VL;
        float *to = t + (idx)g * VL * rows;
        for (idx i = (idx)parts * (VL / 2) * step; i < (idx)rows * step; i++) to[i] = 0;
        for (int j = 0; j < step; j += VL)
            for (int p = 0; p < parts; p++) {
                for (int i = 0; i < VL; i++) {
                    const int key = g * VL + j + i;
                    *(vh *)(turned + i * VL / 2) = to_half(key < c->keys ? vload(k + p * plane + (idx)key * VL) : (vf){0});
                }
                turn_tile(turned, VL / 2, to + p * (VL / 2) * step + j, step, VL, VL / 2);
            }
    }
}
/* Values [part][key][VL] to [vectors of parts][words of keys][vectors * VL]. */
ALWAYS void halves_values(const struct attention *c, const struct conv *s, const float *v, idx plane, float *u) {
    const int rows = s->blocks * HALF_WORDS;
    for (int g = 0; g < s->sections; g += s->vectors) {
        const int n = MIN(s->vectors, s->sections - g);
        for (int row = 0; row < rows; row++)
            for (int p = 0; p < n; p++) {
                const float *from = v + (g + p) * plane + (idx)row * 2 * VL;
                const vf even = 2 * row < c->keys ? vload(from) : (vf){0}, odd = 2 * row + 1 < c->keys ? vload(from + VL) : (vf){0};
                *(vw *)(u + ((idx)g * rows + row * n + p) * VL) = half_words(even, odd);
            }
    }
}
NEVER void attend_halves(const struct attention *c, const struct halves *scores, const struct halves *mix, const struct frame *f,
                         const float *q, const float *k, const float *v, const float *mask, const float *zero, float *out,
                         float *t, float *s, float *u, float *buffer) {
    const int parts = c->width / VL;
    const idx q_plane = (idx)c->batch * c->queries * VL, k_plane = (idx)c->batch * c->keys * VL;
    struct frame alone = *f;
    alone.tid = 0, alone.nt = 1;
    SPLIT(c->batch * c->heads);
    for (idx unit = begin; unit < end; unit++) {
        const idx b = unit / c->heads, h = unit % c->heads, query = h * parts * q_plane + b * c->queries * VL;
        const idx key = h * parts * k_plane + b * c->keys * VL;
        halves_keys(c, &scores->c, k + key, k_plane, t);
        conv_halves(scores, &alone, q + query, t, zero, 0, s, buffer, 0);
        softmax_rows(s, mask + b * c->mask_batch + h * c->mask_head, c->mask_row, c->queries, c->keys, c->scale);
        halves_values(c, &mix->c, v + key, k_plane, u);
        conv_halves(mix, &alone, s, u, zero, 0, out + query, buffer, 0);
    }
}
