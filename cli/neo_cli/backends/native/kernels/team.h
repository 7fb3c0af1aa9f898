/* Threads that the caller brings, kept together: a barrier that spins briefly, then sleeps; workers that sleep when idle. */
#if defined(__linux__) && (defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || defined(__arm__))
struct team {
    int32_t threads, job, stop, arrived, round, pad[11];
    uintptr_t claim[STEPS + 1]; /* the job, and a bit for each part of the step that somebody has taken */
    int32_t done[STEPS + 1];
    const void *const *inputs;
    void *const *outputs;
    const void *weights;
    void *scratch;
};

#if defined(__x86_64__)
ALWAYS long futex(int32_t *word, int op, int32_t value) {
    long result;
    register long r10 __asm__("r10") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(202L), "D"(word), "S"((long)op), "d"((long)value), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
#define PAUSE __asm__ volatile("pause")
#elif defined(__i386__)
ALWAYS long futex(int32_t *word, int op, int32_t value) {
    long result;
    __asm__ volatile("xorl %%esi, %%esi\n\tint $0x80" : "=a"(result) : "a"(240L), "b"(word), "c"(op), "d"(value)
                     : "esi", "memory");
    return result;
}
#define PAUSE __asm__ volatile("pause")
#elif defined(__aarch64__)
ALWAYS long futex(int32_t *word, int op, int32_t value) {
    register long x8 __asm__("x8") = 98, x0 __asm__("x0") = (long)word, x1 __asm__("x1") = op, x2 __asm__("x2") = value,
                  x3 __asm__("x3") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#define PAUSE __asm__ volatile("yield")
#else
ALWAYS long futex(int32_t *word, int op, int32_t value) {
    register long r0 __asm__("r0") = (long)word, r1 __asm__("r1") = op, r2 __asm__("r2") = value, r3 __asm__("r3") = 0;
    __asm__ volatile("push {r7}\n\tmov r7, #240\n\tsvc 0\n\tpop {r7}" : "+r"(r0) : "r"(r1), "r"(r2), "r"(r3) : "memory");
    return r0;
}
#define PAUSE __asm__ volatile("nop")
#endif
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129, SPINS = 2000, IDLE_SPINS = 2000 };

/* Return when *word is no longer `seen`. */
NEVER void await(int32_t *word, int32_t seen, int spins) {
    for (int i = 0; i < spins; i++) {
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != seen) return;
        PAUSE;
    }
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen) futex(word, FUTEX_WAIT_PRIVATE, seen);
}

static void team_wait(void *memory) {
    struct team *t = memory;
    const int32_t round = __atomic_load_n(&t->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&t->arrived, 1, __ATOMIC_ACQ_REL) == t->threads) {
        __atomic_store_n(&t->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&t->round, round + 1, __ATOMIC_RELEASE);
        futex(&t->round, FUTEX_WAKE_PRIVATE, 0x7fffffff);
    } else {
        await(&t->round, round, SPINS);
    }
}

enum { PARTS = sizeof(uintptr_t) * 4 }; /* half of a claim's bits; more threads are not used */
#define JOB_OF(CLAIM) ((CLAIM) >> PARTS)
#define JOB_BITS (((uintptr_t)1 << PARTS) - 1)

/* A part of a step for this thread, its own when it is free; -1: all are taken, -2: that job is over. */
ALWAYS int32_t team_claim(uintptr_t *claim, uintptr_t job, int32_t parts, int32_t own) {
    uintptr_t seen = __atomic_load_n(claim, __ATOMIC_ACQUIRE);
    for (;;) {
        if (JOB_OF(seen) != job) return -2;
        int32_t part = own;
        for (int32_t i = 0; i < parts && (seen >> part & 1); i++) part = part + 1 < parts ? part + 1 : 0;
        const uintptr_t bit = (uintptr_t)1 << part;
        if (seen & bit) return -1;
        if (__atomic_compare_exchange_n(claim, &seen, seen | bit, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return part;
    }
}
/* One job as one thread sees it. Each step has as many parts as there are threads, and whoever is there takes the next:
 * a thread that the system lets wait holds up nobody, unless the step is collective. */
NEVER void team_work(struct team *t, int32_t thread, int32_t number) {
    const uintptr_t job = (uintptr_t)number & JOB_BITS;
    const int32_t parts = t->threads;
    const void *const *const inputs = t->inputs;
    void *const *const outputs = t->outputs;
    const unsigned char *const weights = t->weights;
    unsigned char *const arena = t->scratch;
    const uintptr_t saved = fp_enter();
    for (int step = 0; step < STEPS; step++) {
        struct frame frame = {weights, arena, arena + SHARED + (size_t)thread * PRIVATE, inputs, outputs, thread, parts,
                              0, 0, team_wait, t};
        if (steps[step].collective) {
            if (JOB_OF(__atomic_load_n(&t->claim[step], __ATOMIC_ACQUIRE)) != job) break;
            steps[step].run(&frame);
            team_wait(t);
            continue;
        }
        int32_t part;
        while ((part = team_claim(&t->claim[step], job, parts, thread)) >= 0) {
            frame.tid = part;
            frame.p = arena + SHARED + (size_t)part * PRIVATE;
            steps[step].run(&frame);
            if (__atomic_add_fetch(&t->done[step], 1, __ATOMIC_ACQ_REL) == parts && parts > 1)
                futex(&t->done[step], FUTEX_WAKE_PRIVATE, 0x7fffffff);
        }
        if (part == -2) break;
        for (int32_t done; (done = __atomic_load_n(&t->done[step], __ATOMIC_ACQUIRE)) < parts;) {
            if (JOB_OF(__atomic_load_n(&t->claim[step], __ATOMIC_ACQUIRE)) != job) break;
            await(&t->done[step], done, SPINS);
        }
    }
    fp_leave(saved);
}

NEO_API size_t neo_team_bytes(void) { return sizeof(struct team); }
NEO_API void neo_team_start(void *memory, int32_t threads) { ((struct team *)memory)->threads = MIN(threads, PARTS); }
NEO_API void neo_team_work(void *memory, int32_t thread) {
    struct team *t = memory;
    for (int32_t seen = 0;;) {
        await(&t->job, seen, IDLE_SPINS);
        seen = __atomic_load_n(&t->job, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) return;
        team_work(t, thread, seen);
    }
}
NEO_API void neo_team_run(void *memory, const void *const *inputs, void *const *outputs, const void *weights, void *scratch) {
    struct team *t = memory;
    const int32_t job = (int32_t)((uint32_t)t->job + 1);
    t->inputs = inputs, t->outputs = outputs, t->weights = weights, t->scratch = scratch;
    for (int step = 0; step < STEPS; step++) {
        t->done[step] = 0;
        __atomic_store_n(&t->claim[step], ((uintptr_t)job & JOB_BITS) << PARTS, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&t->job, job, __ATOMIC_RELEASE);
    if (t->threads > 1) futex(&t->job, FUTEX_WAKE_PRIVATE, 0x7fffffff);
    team_work(t, 0, job);
}
NEO_API void neo_team_stop(void *memory) {
    struct team *t = memory;
    __atomic_store_n(&t->stop, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&t->job, (int32_t)((uint32_t)t->job + 1), __ATOMIC_RELEASE);
    futex(&t->job, FUTEX_WAKE_PRIVATE, 0x7fffffff);
}
#else
NEO_API size_t neo_team_bytes(void) { return 0; }
NEO_API void neo_team_start(void *memory, int32_t threads) { (void)memory, (void)threads; }
NEO_API void neo_team_work(void *memory, int32_t thread) { (void)memory, (void)thread; }
NEO_API void neo_team_run(void *memory, const void *const *inputs, void *const *outputs, const void *weights, void *scratch) {
    (void)memory;
    neo_run(inputs, outputs, weights, scratch, 0, 1, 0, 0);
}
NEO_API void neo_team_stop(void *memory) { (void)memory; }
#endif
