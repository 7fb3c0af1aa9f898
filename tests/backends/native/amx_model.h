/* The tile registers of AMX in software, in the place of the instructions of kernels/bf16.h: shapes are enforced, sums are
 * float in the order of the manual (pairs in turn), inputs bfloat16. Each thread has registers of its own. A fault (a
 * register that was not shaped, a product of unlike shapes, one used after the release) ends the process. */
#include <stdint.h>
struct amx_tile { int rows, bytes; unsigned char data[16][64]; };
struct amx_thread { void *owner; int shaped; struct amx_tile tile[8]; };
static struct amx_thread amx_threads[64];
static int amx_products; /* how many were made, for the tests */

static inline struct amx_thread *amx_own(void) {
    void *const me = __builtin_thread_pointer();
    for (int i = 0; i < 64; i++) {
        void *none = 0;
        if (__atomic_load_n(&amx_threads[i].owner, __ATOMIC_ACQUIRE) == me) return &amx_threads[i];
        if (__atomic_compare_exchange_n(&amx_threads[i].owner, &none, me, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return &amx_threads[i];
    }
    __builtin_trap();
}
static inline struct amx_tile *amx_tile(int t) {
    struct amx_thread *own = amx_own();
    if (!own->shaped || !own->tile[t].rows) __builtin_trap();
    return &own->tile[t];
}
static inline void amx_shape(const unsigned char *shape) {
    struct amx_thread *own = amx_own();
    if (shape[0] != 1 || shape[1]) __builtin_trap(); /* palette 1, row 0 */
    for (int i = 2; i < 16; i++)
        if (shape[i]) __builtin_trap();
    for (int t = 0; t < 8; t++) {
        own->tile[t].bytes = shape[16 + 2 * t] | shape[17 + 2 * t] << 8, own->tile[t].rows = shape[48 + t];
        if (own->tile[t].bytes > 64 || own->tile[t].rows > 16) __builtin_trap();
        for (int i = 0; i < 16 * 64; i++) own->tile[t].data[i / 64][i % 64] = 0;
    }
    own->shaped = 1;
}
static inline void amx_load(int t, const void *from, long step) {
    struct amx_tile *to = amx_tile(t);
    for (int i = 0; i < to->rows; i++)
        for (int j = 0; j < to->bytes; j++) to->data[i][j] = ((const volatile unsigned char *)from)[i * step + j];
}
static inline void amx_store(int t, void *to, long step) {
    const struct amx_tile *from = amx_tile(t);
    for (int i = 0; i < from->rows; i++)
        for (int j = 0; j < from->bytes; j++) ((volatile unsigned char *)to)[i * step + j] = from->data[i][j];
}
static inline float amx_float(const unsigned char *at) { /* of a bfloat16; denormals are zero */
    const uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return bits & 0x7f800000 ? value : 0;
}
static inline void amx_product(int sum, int a, int b) {
    struct amx_tile *c = amx_tile(sum);
    const struct amx_tile *x = amx_tile(a), *w = amx_tile(b);
    if (c->rows != x->rows || c->bytes != w->bytes || x->bytes != w->rows * 4) __builtin_trap();
    __atomic_fetch_add(&amx_products, 1, __ATOMIC_RELAXED);
    for (int m = 0; m < c->rows; m++)
        for (int k = 0; k < w->rows; k++)
            for (int n = 0; n < c->bytes / 4; n++) {
                float value;
                __builtin_memcpy(&value, c->data[m] + 4 * n, 4);
                for (int i = 0; i < 4; i += 2) value += amx_float(x->data[m] + 4 * k + i) * amx_float(w->data[k] + 4 * n + i);
                __builtin_memcpy(c->data[m] + 4 * n, &value, 4);
            }
}
#define TILE_SHAPE(P) amx_shape(P)
#define TILE_RELEASE() (amx_own()->shaped = 0)
#define TILE_LOAD(T, P, STEP) amx_load(T, P, STEP)
#define TILE_STORE(T, P, STEP) amx_store(T, P, STEP)
#define TILE_PRODUCT(SUM, A, B) amx_product(SUM, A, B)
__attribute__((visibility("default"))) int amx_model_products(void) { return amx_products; }
