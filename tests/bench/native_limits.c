/* What a processor can do at most: products in registers, and reading. VL is the number of floats in a vector. */
#include <stddef.h>
#include <stdint.h>
#ifdef _WIN32
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));
enum { SUMS = VL == 16 ? 24 : 12 }; /* more than the latency of two units needs, fewer than there are registers */

API uint64_t limits_ticks(void) { return __builtin_readcyclecounter(); }

/* `rounds` times SUMS multiply-adds of vectors, none of which waits for the one before. */
API void limits_fma(int64_t rounds, float *out) {
    vf sum[SUMS];
    const vf a = *(vf *)out, b = *(vf *)(out + VL);
#pragma clang loop unroll(full)
    for (int i = 0; i < SUMS; i++) sum[i] = a + (float)i;
    for (int64_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < SUMS; i++) sum[i] = sum[i] * a + b;
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < SUMS; i++) *(vf *)out += sum[i];
}

/* The sum of `count` floats, a multiple of 8 * VL, read `rounds` times. */
API void limits_read(const float *data, int64_t count, int64_t rounds, float *out) {
    vf sum[8] = {0};
    for (int64_t r = 0; r < rounds; r++) {
        for (int64_t i = 0; i < count; i += 8 * VL) {
#pragma clang loop unroll(full)
            for (int k = 0; k < 8; k++) sum[k] += *(const vf *)(data + i + k * VL);
        }
        __asm__ volatile("" : : : "memory");
    }
    for (int k = 0; k < 8; k++) *(vf *)out += sum[k];
}
