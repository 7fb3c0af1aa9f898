/* A caller of a compiled model: every buffer allocated in exactly the size that compiled.h states, and full of NaN.
 *
 *   caller PARAMS THREADS COPIES run|team <inputs of all copies >outputs of all copies
 *
 * COPIES runs go on at the same time, each on THREADS threads with a scratch of its own; each is made twice and must give
 * the same bytes (code 8 otherwise). The floating-point modes that a thread had before must be there after (code 9).
 * What the process took at most is told on the standard error, in kB. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "compiled.h"

struct copy {
    void **inputs, **outputs, *scratch, *team;
    pthread_barrier_t barrier;
};
struct thread {
    pthread_t handle;
    struct copy *copy;
    int number, threads, team, broken;
};
static unsigned char *weights;

static void *exactly(size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size)) exit(2);
    memset(memory, 0xff, size);
    return memory;
}
static void **tensors(int kind) {
    void **found = calloc((size_t)neo_count(kind) + 1, sizeof(void *));
    for (int i = 0; i < neo_count(kind); i++) found[i] = exactly(neo_bytes(kind, i));
    return found;
}
static void barrier(void *team) { pthread_barrier_wait(team); }

#if defined(__x86_64__)
static unsigned mode(void) { return __builtin_ia32_stmxcsr() & 0xffc0; }
static void flush(void) { __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8000); }
#else
static unsigned mode(void) { return 0; }
static void flush(void) {}
#endif

static void *work(void *memory) {
    struct thread *t = memory;
    struct copy *c = t->copy;
    if (t->number % 2) flush(); /* not every thread comes in the mode of a fresh process */
    const unsigned before = mode();
    const void *const *inputs = (const void *const *)c->inputs;
    if (!t->team) neo_run(inputs, c->outputs, weights, c->scratch, t->number, t->threads, barrier, &c->barrier);
    else if (t->number) neo_team_work(c->team, t->number);
    else neo_team_run(c->team, inputs, c->outputs, weights, c->scratch), neo_team_stop(c->team);
    t->broken = mode() != before;
    return NULL;
}

static void once(struct copy *copies, int count, int threads, int team) {
    struct thread *all = calloc((size_t)count * threads, sizeof *all);
    int broken = 0;
    for (int i = 0; i < count; i++) {
        if (pthread_barrier_init(&copies[i].barrier, NULL, threads)) exit(3);
        memset(copies[i].scratch, 0xff, neo_scratch_bytes(threads));
        if (team) memset(copies[i].team, 0, neo_team_bytes()), neo_team_start(copies[i].team, threads);
    }
    for (int i = 0; i < count * threads; i++) {
        all[i] = (struct thread){.copy = copies + i / threads, .number = i % threads, .threads = threads, .team = team};
        if (pthread_create(&all[i].handle, NULL, work, all + i)) exit(4);
    }
    for (int i = 0; i < count * threads; i++) pthread_join(all[i].handle, NULL), broken |= all[i].broken;
    free(all);
    if (broken) exit(9);
}

int main(int argc, char **argv) {
    if (argc != 5) return 1;
    const int threads = atoi(argv[2]), count = atoi(argv[3]), team = !strcmp(argv[4], "team");
    FILE *file = fopen(argv[1], "rb");
    weights = exactly(neo_weights_bytes());
    if (!file || fseek(file, (long)neo_weights_offset(), SEEK_SET)) return 5;
    if (fread(weights, 1, neo_weights_bytes(), file) != neo_weights_bytes()) return 6;
    fclose(file);
    struct copy *copies = calloc((size_t)count, sizeof *copies);
    unsigned char **first = calloc((size_t)count * neo_count(NEO_OUTPUT) + 1, sizeof *first);
    for (int i = 0; i < count; i++) {
        copies[i].inputs = tensors(NEO_INPUT), copies[i].outputs = tensors(NEO_OUTPUT);
        copies[i].scratch = exactly(neo_scratch_bytes(threads)), copies[i].team = exactly(neo_team_bytes());
        for (int k = 0; k < neo_count(NEO_INPUT); k++)
            if (fread(copies[i].inputs[k], 1, neo_bytes(NEO_INPUT, k), stdin) != neo_bytes(NEO_INPUT, k)) return 7;
    }
    for (int run = 0; run < 2; run++) {
        once(copies, count, threads, team);
        for (int i = 0, at = 0; i < count; i++)
            for (int k = 0; k < neo_count(NEO_OUTPUT); k++, at++) {
                const size_t size = neo_bytes(NEO_OUTPUT, k);
                if (run && memcmp(first[at], copies[i].outputs[k], size)) return 8;
                if (!run) first[at] = memcpy(exactly(size), copies[i].outputs[k], size);
                if (run) fwrite(first[at], 1, size, stdout);
                memset(copies[i].outputs[k], 0xff, size);
            }
    }
    char line[256];
    for (FILE *status = fopen("/proc/self/status", "r"); status && fgets(line, sizeof line, status);)
        if (!strncmp(line, "VmHWM:", 6)) fprintf(stderr, "%ld\n", strtol(line + 6, NULL, 10));
    return 0;
}
