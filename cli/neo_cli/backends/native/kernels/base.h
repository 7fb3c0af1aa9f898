/* What every function of the library may use: types, this thread's share, mode of the floating-point unit. */
typedef ptrdiff_t idx;

struct frame {
    const unsigned char *w;  /* weights */
    unsigned char *a;        /* the arena all threads share */
    unsigned char *p;        /* this thread's own scratch */
    const void *const *in;
    void *const *out;
    int tid, nt;
    int top, bottom;         /* the rows of the output to make; all when bottom is 0 */
    neo_wait wait;
    void *team;
};

#define ALWAYS static inline __attribute__((always_inline))
#define NEVER static __attribute__((noinline))
#define BARRIER do { if (f->nt > 1) f->wait(f->team); } while (0)
#define SPLIT(n) \
    const idx begin = (idx)(n) / f->nt * f->tid + ((idx)(n) % f->nt < f->tid ? (idx)(n) % f->nt : f->tid), \
              end = begin + (idx)(n) / f->nt + (f->tid < (idx)(n) % f->nt)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The compiler itself may call these. */
void *memset(void *to, int byte, size_t count) {
    unsigned char *t = to;
    size_t i = 0;
    typedef uint64_t word __attribute__((aligned(1), may_alias));
    for (; i + 8 <= count; i += 8) {
        *(word *)(t + i) = 0x0101010101010101ull * (unsigned char)byte;
        __asm__ volatile("" : : : "memory");
    }
    for (; i < count; i++) {
        t[i] = (unsigned char)byte;
        __asm__ volatile("" : : : "memory");
    }
    return to;
}
void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    unsigned char *t = to;
    const unsigned char *s = from;
    size_t i = 0;
    typedef uint64_t word __attribute__((aligned(1), may_alias));
    for (; i + 8 <= count; i += 8) {
        *(word *)(t + i) = *(const word *)(s + i);
        __asm__ volatile("" : : : "memory");
    }
    for (; i < count; i++) {
        t[i] = s[i];
        __asm__ volatile("" : : : "memory");
    }
    return to;
}
void *memmove(void *to, const void *from, size_t count) {
    unsigned char *t = to;
    const unsigned char *s = from;
    if (t <= s) return memcpy(to, from, count);
    while (count--) {
        t[count] = s[count];
        __asm__ volatile("" : : : "memory");
    }
    return to;
}

/* Denormal numbers become zero while the model runs: they would make it a hundred times slower. */
#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE__))
ALWAYS uintptr_t fp_enter(void) {
    uint32_t old, now;
    __asm__ volatile("stmxcsr %0" : "=m"(old));
    now = old | 0x8040;
    __asm__ volatile("ldmxcsr %0" : : "m"(now));
    return old;
}
ALWAYS void fp_leave(uintptr_t saved) {
    uint32_t old = (uint32_t)saved;
    __asm__ volatile("ldmxcsr %0" : : "m"(old));
}
#elif defined(__aarch64__)
ALWAYS uintptr_t fp_enter(void) {
    uintptr_t old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | (1u << 24)));
    return old;
}
ALWAYS void fp_leave(uintptr_t old) { __asm__ volatile("msr fpcr, %0" : : "r"(old)); }
#elif defined(__arm__) && defined(__ARM_FP)
ALWAYS uintptr_t fp_enter(void) {
    uintptr_t old;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(old));
    __asm__ volatile("vmsr fpscr, %0" : : "r"(old | (1u << 24)));
    return old;
}
ALWAYS void fp_leave(uintptr_t old) { __asm__ volatile("vmsr fpscr, %0" : : "r"(old)); }
#else
ALWAYS uintptr_t fp_enter(void) { return 0; }
ALWAYS void fp_leave(uintptr_t old) { (void)old; }
#endif
