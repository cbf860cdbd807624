/* Loaded into every program that a test runs (LD_PRELOAD): ends or stops it before the n-th call that changes a directory, or changes a
   file under its hands before it is read for the n-th time. Both are counted over all processes together. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic long *counted;
static long at = -1;
static int whole_group, stops;
static const char *file, *how;

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

__attribute__((constructor)) static void begin(void) {
    const char *counter = variable("MEDDLE_COUNTER"), *n = variable("MEDDLE_AT");
    if (!counter || !n) return;
    int fd = open(counter, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    /* How many there were, and who is stopped. */
    void *shared = mmap(NULL, 2 * sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) return;
    at = strtol(n, NULL, 10);
    whole_group = variable("MEDDLE_GROUP") != NULL;
    stops = variable("MEDDLE_STOP") != NULL;
    how = variable("MEDDLE_HOW");
    file = how ? variable("MEDDLE_FILE") : NULL;
    counted = shared;
}

/* A directory is about to change. */
static void step(void) {
    if (!counted || file || atomic_fetch_add(counted, 1) != at) return;
    if (stops) {
        atomic_store(counted + 1, getpid());
        raise(SIGSTOP);
        return;
    }
    kill(whole_group ? 0 : getpid(), SIGKILL);
    for (;;) pause();
}

#define NEXT(name)                       \
    static __typeof__(name) *next;       \
    if (!next) next = dlsym(RTLD_NEXT, #name)

#define STEP(name, parameters, arguments) \
    int name parameters {                 \
        NEXT(name);                       \
        step();                           \
        return next arguments;            \
    }

STEP(rename, (const char *a, const char *b), (a, b))
STEP(renameat, (int d, const char *a, int e, const char *b), (d, a, e, b))
STEP(renameat2, (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f))
STEP(link, (const char *a, const char *b), (a, b))
STEP(linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f))
STEP(symlink, (const char *a, const char *b), (a, b))
STEP(unlink, (const char *a), (a))
STEP(unlinkat, (int d, const char *a, int f), (d, a, f))

#define OPEN(name, parameters, arguments)  \
    int name parameters {                  \
        NEXT(name);                        \
        mode_t mode = 0;                   \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list more;                  \
            va_start(more, flags);         \
            mode = va_arg(more, mode_t);   \
            va_end(more);                  \
        }                                  \
        if (flags & (O_CREAT | O_TRUNC)) step(); \
        return next arguments;             \
    }

OPEN(open, (const char *a, int flags, ...), (a, flags, mode))
OPEN(open64, (const char *a, int flags, ...), (a, flags, mode))
OPEN(openat, (int d, const char *a, int flags, ...), (d, a, flags, mode))
OPEN(openat64, (int d, const char *a, int flags, ...), (d, a, flags, mode))

/* The file is about to be read: what somebody else does to it now. */
static void change(void) {
    struct stat before;
    static const char other[] = "somebody else wrote this";
    if (stat(file, &before)) return;
    if (!strcmp(how, "replace")) {
        char beside[PATH_MAX];
        snprintf(beside, sizeof beside, "%s.other", file);
        int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || write(fd, other, sizeof other) < 0 || ftruncate(fd, before.st_size) || close(fd)) abort();
        if (rename(beside, file)) abort();
        return;
    }
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0) abort();
    if (!strcmp(how, "rewrite")) {
        /* At both ends: what was read already, and what was not. */
        if (pwrite(fd, other, sizeof other, 0) < 0) abort();
        if (pwrite(fd, other, sizeof other, before.st_size - (off_t)sizeof other) < 0) abort();
    } else if (!strcmp(how, "append")) {
        if (pwrite(fd, other, sizeof other, before.st_size) < 0) abort();
    } else if (!strcmp(how, "truncate")) {
        if (ftruncate(fd, before.st_size / 2)) abort();
    }
    close(fd);
}

static void reading(int fd) {
    if (!counted || !file) return;
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (strcmp(path, file) || atomic_fetch_add(counted, 1) != at) return;
    change();
}

ssize_t read(int fd, void *to, size_t length) {
    NEXT(read);
    reading(fd);
    return next(fd, to, length);
}

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t length, unsigned flags) {
    NEXT(copy_file_range);
    reading(from);
    return next(from, a, to, b, length, flags);
}
