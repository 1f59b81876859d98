/* Counts the system calls that create, write, sync, rename or remove under one folder, and at the one that is asked for
   kills the process or fails. Preloaded by tests/crash_driver.py; armed and read through ctypes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, KILL_HALFWAY, FAIL, FAIL_FROM_HERE_ON };

static char folder[PATH_MAX];
static long at, seen;
static int mode, code, trace = -1;

void shim_arm(const char *under, long number, int what, int error_code, int trace_to) {
    strncpy(folder, under, sizeof folder - 1);
    at = number;
    mode = what;
    code = error_code;
    trace = trace_to;
    seen = 0;
}

long shim_seen(void) { return seen; }

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int real_write(int descriptor, const char *bytes, size_t count) {
    return (int)NEXT(write)(descriptor, bytes, count);
}

static void path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

static void path_at(int directory, const char *name, char *path) {
    if (name[0] == '/' || directory == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    char parent[PATH_MAX];
    path_of(directory, parent);
    if (snprintf(path, PATH_MAX, "%s/%s", parent, name) >= PATH_MAX) path[0] = 0;
}

/* 1 where the call is to fail. */
static int point(const char *call, const char *path, int needs_room, int *halfway) {
    if (!folder[0] || strncmp(path, folder, strlen(folder)) != 0) return 0;
    long number = ++seen;
    if (trace >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", call, path + strlen(folder));
        real_write(trace, line, (size_t)length);
    }
    if (mode == FAIL_FROM_HERE_ON && number >= at && needs_room) return errno = code, 1;
    if (number != at) return 0;
    if (mode == KILL_HALFWAY && halfway) return *halfway = 1, 0;
    if (mode == KILL || mode == KILL_HALFWAY) kill(getpid(), SIGKILL);
    if (mode == FAIL) return errno = code, 1;
    return 0;
}

#define BY_PATH(call, path, needs_room) if (point(call, path, needs_room, NULL)) return -1

#define OPEN(name)                                                      \
    int name(const char *path, int flags, ...) {                        \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        mode_t permissions = va_arg(rest, mode_t);                      \
        va_end(rest);                                                   \
        if (flags & (O_CREAT | O_TRUNC)) BY_PATH("create", path, 1);    \
        return NEXT(name)(path, flags, permissions);                    \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                    \
    int name(int directory, const char *path, int flags, ...) {         \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        mode_t permissions = va_arg(rest, mode_t);                      \
        va_end(rest);                                                   \
        char whole[PATH_MAX];                                           \
        path_at(directory, path, whole);                                \
        if (flags & (O_CREAT | O_TRUNC)) BY_PATH("create", whole, 1);   \
        return NEXT(name)(directory, path, flags, permissions);         \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int descriptor, const void *bytes, size_t count) {
    int halfway = 0;
    if (folder[0]) {
        char path[PATH_MAX];
        path_of(descriptor, path);
        if (point("write", path, 1, &halfway)) return -1;
    }
    if (halfway) {
        NEXT(write)(descriptor, bytes, count / 2);
        kill(getpid(), SIGKILL);
    }
    return NEXT(write)(descriptor, bytes, count);
}

#define ON_DESCRIPTOR(name, call, needs_room, parameters, arguments) \
    name parameters {                                                \
        char path[PATH_MAX];                                         \
        path_of(descriptor, path);                                   \
        BY_PATH(call, path, needs_room);                             \
        return arguments;                                            \
    }

ssize_t ON_DESCRIPTOR(pwrite64, "write", 1, (int descriptor, const void *b, size_t n, off64_t o), NEXT(pwrite64)(descriptor, b, n, o))
ssize_t ON_DESCRIPTOR(writev, "write", 1, (int descriptor, const struct iovec *v, int n), NEXT(writev)(descriptor, v, n))
int ON_DESCRIPTOR(ftruncate64, "write", 1, (int descriptor, off64_t length), NEXT(ftruncate64)(descriptor, length))
int ON_DESCRIPTOR(fsync, "sync", 0, (int descriptor), NEXT(fsync)(descriptor))
int ON_DESCRIPTOR(fdatasync, "sync", 0, (int descriptor), NEXT(fdatasync)(descriptor))

int rename(const char *from, const char *to) {
    BY_PATH("rename", from, 0);
    return NEXT(rename)(from, to);
}

int renameat(int one, const char *from, int other, const char *to) {
    char path[PATH_MAX];
    path_at(one, from, path);
    BY_PATH("rename", path, 0);
    return NEXT(renameat)(one, from, other, to);
}

int unlink(const char *path) {
    BY_PATH("unlink", path, 0);
    return NEXT(unlink)(path);
}

int unlinkat(int directory, const char *name, int flags) {
    char path[PATH_MAX];
    path_at(directory, name, path);
    BY_PATH("unlink", path, 0);
    return NEXT(unlinkat)(directory, name, flags);
}

int rmdir(const char *path) {
    BY_PATH("rmdir", path, 0);
    return NEXT(rmdir)(path);
}

int mkdir(const char *path, mode_t permissions) {
    BY_PATH("mkdir", path, 1);
    return NEXT(mkdir)(path, permissions);
}
