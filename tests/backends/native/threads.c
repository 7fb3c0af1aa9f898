/* Threads without a libc, behind kernels/runner.c: the model is run by THREADS threads of the caller, then by a team of
 * its own. Both must give the same bytes (code 8), and every thread its floating-point mode back (code 9). */
#if defined(__x86_64__)
enum { SYS_CLONE = 56, SYS_YIELD = 24, SYS_LEAVE = 60 };
#elif defined(__aarch64__)
enum { SYS_CLONE = 220, SYS_YIELD = 124, SYS_LEAVE = 93 };
#else
enum { SYS_CLONE = 120, SYS_YIELD = 158, SYS_LEAVE = 1 };
#endif
enum { CLONE_A_THREAD = 0x50f00 }; /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */

static _Alignas(64) unsigned char caller_stacks[2][THREADS][256 << 10], caller_others[RUNNER_OUTPUTS + 64];
static struct team caller_team;
static int32_t caller_left, caller_arrived, caller_turn, caller_broken;
static const void *caller_inputs[INPUTS + 1];
static void *caller_outputs[OUTPUTS + 1];

#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE__))
static uint32_t caller_mode(void) {
    uint32_t found;
    __asm__ volatile("stmxcsr %0" : "=m"(found));
    return found & 0xffc0;
}
static void caller_flush(void) {
    const uint32_t wanted = caller_mode() | 0x8000;
    __asm__ volatile("ldmxcsr %0" : : "m"(wanted));
}
#elif defined(__aarch64__)
static uint32_t caller_mode(void) {
    uintptr_t found;
    __asm__ volatile("mrs %0, fpcr" : "=r"(found));
    return (uint32_t)found;
}
static void caller_flush(void) { __asm__ volatile("msr fpcr, %0" : : "r"((uintptr_t)caller_mode() | 1u << 24)); }
#elif defined(__ARM_FP)
static uint32_t caller_mode(void) {
    uint32_t found;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(found));
    return found & 0x07c09f00; /* without the flags that operations leave */
}
static void caller_flush(void) { __asm__ volatile("vmsr fpscr, %0" : : "r"(caller_mode() | 1u << 24)); }
#else
static uint32_t caller_mode(void) { return 0; }
static void caller_flush(void) {}
#endif

static void caller_gather(void *unused) {
    const int32_t seen = __atomic_load_n(&caller_turn, __ATOMIC_ACQUIRE);
    (void)unused;
    if (__atomic_add_fetch(&caller_arrived, 1, __ATOMIC_ACQ_REL) == THREADS) {
        __atomic_store_n(&caller_arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&caller_turn, seen + 1, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&caller_turn, __ATOMIC_ACQUIRE) == seen) system_call(SYS_YIELD, 0, 0, 0);
}
/* `what` is the thread's number, and THREADS more in the team. */
__attribute__((used)) static void caller_live(long what) {
    const int32_t number = (int32_t)what % THREADS;
    if (number % 2) caller_flush(); /* not every thread comes in the mode of a fresh process */
    const uint32_t before = caller_mode();
    if (what < THREADS) neo_run(caller_inputs, caller_outputs, runner_weights, runner_scratch, number, THREADS, caller_gather, 0);
    else if (number) neo_team_work(&caller_team, number);
    else neo_team_run(&caller_team, caller_inputs, caller_outputs, runner_weights, runner_scratch), neo_team_stop(&caller_team);
    if (caller_mode() != before) __atomic_store_n(&caller_broken, 1, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&caller_left, 1, __ATOMIC_ACQ_REL);
    system_call(SYS_LEAVE, 0, 0, 0);
}

static void caller_start(long what) {
    uintptr_t *top = (uintptr_t *)(caller_stacks[what >= THREADS][what % THREADS] + sizeof caller_stacks[0][0]) - 8;
    *top = (uintptr_t)what;
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov (%%rsp), %%rdi\n\tcall caller_live\n1:"
                     : "=a"(result) : "a"((long)SYS_CLONE), "D"((long)CLONE_A_THREAD), "S"(top), "d"(0L)
                     : "rcx", "r8", "r9", "r10", "r11", "memory");
#elif defined(__i386__)
    long result;
    __asm__ volatile("xor %%esi, %%esi\n\txor %%edi, %%edi\n\tint $0x80\n\ttest %%eax, %%eax\n\tjnz 1f\n\tcall caller_live\n1:"
                     : "=a"(result) : "a"(SYS_CLONE), "b"(CLONE_A_THREAD), "c"(top), "d"(0) : "esi", "edi", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_CLONE, x0 __asm__("x0") = CLONE_A_THREAD, x1 __asm__("x1") = (long)top,
                  x2 __asm__("x2") = 0, x3 __asm__("x3") = 0, x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0\n\tcbnz x0, 1f\n\tldr x0, [sp]\n\tbl caller_live\n1:"
                     : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "x30", "memory");
#else
    register long r0 __asm__("r0") = CLONE_A_THREAD, r1 __asm__("r1") = (long)top, r2 __asm__("r2") = 0,
                  r3 __asm__("r3") = 0, r4 __asm__("r4") = 0;
    __asm__ volatile("push {r7}\n\tmov r7, %1\n\tsvc 0\n\tcmp r0, #0\n\tbne 1f\n\tldr r0, [sp]\n\tbl caller_live\n1:\tpop {r7}"
                     : "+r"(r0) : "r"((long)SYS_CLONE), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "lr", "memory");
#endif
}

static void caller_threaded(void) {
    size_t at = 0;
    runner_move(SYS_READ, 0, runner_inputs, RUNNER_INPUTS);
    runner_move(SYS_READ, 3, runner_weights, neo_weights_offset());
    runner_move(SYS_READ, 3, runner_weights, RUNNER_WEIGHTS);
    for (int i = 0; i < INPUTS; i++) caller_inputs[i] = runner_inputs + at, at += (neo_bytes(NEO_INPUT, i) + 63) / 64 * 64;
    for (int team_runs = 0; team_runs < 2; team_runs++) {
        at = 0;
        for (int i = 0; i < OUTPUTS; i++)
            caller_outputs[i] = (team_runs ? caller_others : runner_outputs) + at, at += (neo_bytes(NEO_OUTPUT, i) + 63) / 64 * 64;
        memset(runner_scratch, 0xff, RUNNER_SCRATCH);
        neo_team_start(&caller_team, THREADS);
        caller_left = THREADS;
        for (int i = 0; i < THREADS; i++) caller_start(i + team_runs * THREADS);
        while (__atomic_load_n(&caller_left, __ATOMIC_ACQUIRE)) system_call(SYS_YIELD, 0, 0, 0);
    }
    for (size_t i = 0; i < RUNNER_OUTPUTS; i++)
        if (runner_outputs[i] != caller_others[i]) system_call(SYS_EXIT, 8, 0, 0);
    if (caller_broken) system_call(SYS_EXIT, 9, 0, 0);
    runner_move(SYS_WRITE, 1, runner_outputs, RUNNER_OUTPUTS);
    system_call(SYS_EXIT, 0, 0, 0);
}
#if defined(__x86_64__) || defined(__i386__)
__attribute__((force_align_arg_pointer))
#endif
void _start(void) { caller_threaded(); }
