/* A compiled model: one library without undefined symbols and without writable globals.
 *
 * The library allocates nothing and starts no threads. A caller
 *   1. asks neo_count/neo_name/neo_dtype/neo_rank/neo_shape/neo_bytes what goes in (NEO_INPUT) and out (NEO_OUTPUT),
 *   2. takes the weights from neo_weights(), or, when that is NULL, maps or reads neo_weights_bytes() bytes of
 *      compiled.params from neo_weights_offset(), 64-byte aligned,
 *   3. gives neo_scratch_bytes(threads) bytes of scratch, 64-byte aligned, its content does not matter,
 *   4. calls neo_run once on each of `threads` threads with the same arguments except `thread`.
 * Two runs with different scratch and outputs may go on at the same time. With threads = 1 `wait` may be NULL.
 * `wait(team)` returns when all threads have called it; a team of the library's own (Linux) does that without a libc.
 */
#ifndef NEO_COMPILED_H
#define NEO_COMPILED_H
#include <stddef.h>
#include <stdint.h>
#ifdef _WIN32
#define NEO_API __declspec(dllexport)
#else
#define NEO_API __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
extern "C" {
#endif

enum { NEO_INPUT = 0, NEO_OUTPUT = 1 };
typedef void (*neo_wait)(void *team);

NEO_API int32_t neo_abi(void);                              /* 1 */
NEO_API int32_t neo_count(int32_t kind);                    /* how many inputs or outputs */
NEO_API const char *neo_name(int32_t kind, int32_t index);
NEO_API const char *neo_dtype(int32_t kind, int32_t index); /* numpy's name: "float32", "bool" (one byte, 0 or 1) */
NEO_API int32_t neo_rank(int32_t kind, int32_t index);
NEO_API const int64_t *neo_shape(int32_t kind, int32_t index);
NEO_API size_t neo_bytes(int32_t kind, int32_t index);
NEO_API size_t neo_scratch_bytes(int32_t threads);
NEO_API const void *neo_weights(void);                      /* those inside the library; NULL: they are in a file */
NEO_API size_t neo_weights_bytes(void);
NEO_API size_t neo_weights_offset(void);                    /* in compiled.params */
/* "avx2 fma": the CPU must have them. With "amx_tile" among them the process must also have asked Linux for the tile
 * registers, once, before the first run: syscall(SYS_arch_prctl, 0x1023, 18) returns 0. */
NEO_API const char *neo_features(void);
NEO_API void neo_run(const void *const *inputs, void *const *outputs, const void *weights, void *scratch,
                     int32_t thread, int32_t threads, neo_wait wait, void *team);

/* `rows` runs on the calling thread, inputs and outputs one behind the other: for models whose batch is free. */
NEO_API void neo_rows(const void *const *inputs, void *const *outputs, const void *weights, void *scratch, int64_t rows);

/* One run on the calling thread; ticks[i] is the time of step i (x86 only). Returns the number of steps. */
NEO_API int32_t neo_profile(const void *const *inputs, void *const *outputs, const void *weights, void *scratch, uint64_t *ticks);

/* A team sleeps on the kernel's futex when idle; present when neo_team_bytes() is not 0. Zero the memory, call
 * neo_team_start, let threads 1 .. n-1 call neo_team_work (it returns after neo_team_stop), then call neo_team_run. */
NEO_API size_t neo_team_bytes(void);
NEO_API void neo_team_start(void *team, int32_t threads);
NEO_API void neo_team_work(void *team, int32_t thread);
NEO_API void neo_team_run(void *team, const void *const *inputs, void *const *outputs, const void *weights, void *scratch);
NEO_API void neo_team_stop(void *team);

#ifdef __cplusplus
}
#endif
#endif
