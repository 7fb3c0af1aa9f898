/* A Windows program that loads compiled.dll and compiled.params from where it is started, as an application does: inputs
 * from its standard input, outputs to its standard output, THREADS threads that meet at a barrier of its own. Without a
 * libc, so that none has to be built for it. Codes: 1 no library, 2 a function lacks, 3 no weights, 4 no input, 5 no output. */
#include "compiled.h"
#define IMPORT __declspec(dllimport)
typedef void *handle;
typedef unsigned long dword;
IMPORT handle GetStdHandle(dword which);
IMPORT handle CreateFileA(const char *name, dword access, dword share, void *security, dword how, dword flags, handle like);
IMPORT int ReadFile(handle file, void *to, dword count, dword *done, void *overlapped);
IMPORT int WriteFile(handle file, const void *from, dword count, dword *done, void *overlapped);
IMPORT handle LoadLibraryA(const char *name);
IMPORT void *GetProcAddress(handle library, const char *name);
IMPORT void *VirtualAlloc(void *at, size_t size, dword kind, dword protection);
IMPORT handle CreateThread(void *security, size_t stack, dword (*start)(void *), void *argument, dword flags, dword *id);
IMPORT dword WaitForSingleObject(handle what, dword milliseconds);
IMPORT int SwitchToThread(void);
IMPORT __declspec(noreturn) void ExitProcess(unsigned code);

static handle library;
static void *function(const char *name) {
    void *found = GetProcAddress(library, name);
    if (!found) ExitProcess(2);
    return found;
}
#define F(NAME) ((__typeof__(&NAME))function(#NAME))
static void *memory(size_t size) { return VirtualAlloc(0, size + 64, 0x3000, 4); }

static int move(handle file, unsigned char *data, size_t size, int out) {
    while (size) {
        dword done = 0;
        const dword part = size < (1u << 20) ? (dword)size : 1u << 20;
        if (!(out ? WriteFile(file, data, part, &done, 0) : ReadFile(file, data, part, &done, 0)) || !done) return 0;
        data += done, size -= done;
    }
    return 1;
}

static struct { volatile int arrived, round; } team;
static void barrier(void *unused) {
    const int round = team.round;
    if (__atomic_add_fetch(&team.arrived, 1, __ATOMIC_ACQ_REL) == THREADS) {
        team.arrived = 0;
        __atomic_store_n(&team.round, round + 1, __ATOMIC_RELEASE);
    } else {
        while (__atomic_load_n(&team.round, __ATOMIC_ACQUIRE) == round) SwitchToThread();
    }
}
static const void *inputs[16];
static void *outputs[16], *scratch;
static unsigned char *weights;
static dword work(void *number) {
    F(neo_run)(inputs, outputs, weights, scratch, (int32_t)(intptr_t)number, THREADS, THREADS > 1 ? barrier : 0, &team);
    return 0;
}

void start(void) {
    library = LoadLibraryA("compiled.dll");
    if (!library || F(neo_abi)() != 1) ExitProcess(1);
    const size_t bytes = F(neo_weights_bytes)(), offset = F(neo_weights_offset)();
    handle file = CreateFileA("compiled.params", 0x80000000u, 1, 0, 3, 0, 0);
    weights = memory(bytes);
    unsigned char *skipped = memory(offset);
    if (!move(file, skipped, offset, 0) || !move(file, weights, bytes, 0)) ExitProcess(3);
    for (int i = 0; i < F(neo_count)(NEO_INPUT); i++) {
        inputs[i] = memory(F(neo_bytes)(NEO_INPUT, i));
        if (!move(GetStdHandle(-10), (void *)inputs[i], F(neo_bytes)(NEO_INPUT, i), 0)) ExitProcess(4);
    }
    for (int i = 0; i < F(neo_count)(NEO_OUTPUT); i++) outputs[i] = memory(F(neo_bytes)(NEO_OUTPUT, i));
    scratch = memory(F(neo_scratch_bytes)(THREADS));
    handle threads[THREADS];
    for (int i = 1; i < THREADS; i++) threads[i] = CreateThread(0, 0, work, (void *)(intptr_t)i, 0, 0);
    work(0);
    for (int i = 1; i < THREADS; i++) WaitForSingleObject(threads[i], -1);
    for (int i = 0; i < F(neo_count)(NEO_OUTPUT); i++)
        if (!move(GetStdHandle(-11), outputs[i], F(neo_bytes)(NEO_OUTPUT, i), 1)) ExitProcess(5);
    ExitProcess(0);
}
