/* Preloaded into a process: makes one of its file operations below a folder fail, or kills the process in it.
 *
 * FAULT_ROOT   the folder, absolute
 * FAULT_STATE  a file with the struct below, shared by all processes; written and read by preload.py
 * FAULT_SKIP   parts of paths that are left alone, separated by ':'
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNT, FAIL_ONCE, FAIL_ON, KILL, KILL_GROUP };
enum { WRITES = 1, READS = 2, REMOVALS = 4 };
enum { ANY, STAGES, OTHERS };

struct state {
    atomic_long count; /* operations so far */
    long at;           /* the one to strike, counted from 1 */
    int action, error, kinds, where;
    atomic_int fired;
    char hit[2048]; /* what was struck */
};

static struct state *state;
static const char *root, *skip;
static size_t root_length;
static int here; /* whether this process is one of those to strike */
static char tracked[65536];

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_STATE");
    root = getenv("FAULT_ROOT");
    skip = getenv("FAULT_SKIP");
    if (!path || !root) return;
    root_length = strlen(root);
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    int file = real_open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) return;
    state = memory;
    int stage = getenv("DVC_STAGE") != NULL;
    here = state->where == ANY || (state->where == STAGES) == stage;
}

static int skipped(const char *path) {
    char part[256];
    for (const char *start = skip; start && *start;) {
        size_t length = strcspn(start, ":");
        if (length && length < sizeof part) {
            memcpy(part, start, length);
            part[length] = 0;
            if (strstr(path, part)) return 1;
        }
        start += length + (start[length] == ':');
    }
    return 0;
}

/* The path of a name below an open folder (or the working directory), and whether it is one to watch. */
static int watched(int folder, const char *name, char *path) {
    if (!state || !here || !name) return 0;
    int saved = errno;
    path[0] = 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(path, 1500)) path[0] = 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, path, 1500);
            path[length > 0 ? length : 0] = 0;
        }
        strcat(path, "/");
    }
    strncat(path, name, 2000 - strlen(path));
    errno = saved;
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || !path[root_length]) && !skipped(path);
}

/* Count one operation; 0 to go on, 1 to fail with errno set, 2 to be killed after doing half. */
static int strike(int kind, const char *what, const char *path) {
    if (!(state->kinds & kind)) return 0;
    long number = atomic_fetch_add(&state->count, 1) + 1;
    if (state->action == COUNT || number < state->at) return 0;
    if (number > state->at && state->action != FAIL_ON) return 0;
    if (!atomic_exchange(&state->fired, 1)) snprintf(state->hit, sizeof state->hit, "%s %.1900s", what, path);
    if (state->action == KILL || state->action == KILL_GROUP) return 2;
    errno = state->error;
    return 1;
}

static void end(void) {
    kill(state->action == KILL_GROUP ? 0 : getpid(), SIGKILL);
    for (;;) pause();
}

static int strike_name(int kind, const char *what, int folder, const char *name) {
    char path[4096];
    if (!watched(folder, name, path)) return 0;
    int result = strike(kind, what, path);
    if (result == 2) end();
    return result;
}

static int strike_file(int kind, const char *what, int file) {
    if (!state || !here || file < 0 || file >= (int)sizeof tracked || !tracked[file]) return 0;
    char link[64], path[2048];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return strike(kind, what, path);
}

static int kind_of(int flags) { return flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) ? WRITES : READS; }

static int opened(int file, int folder, const char *name) {
    char path[4096];
    if (file >= 0 && file < (int)sizeof tracked) tracked[file] = watched(folder, name, path);
    return file;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPEN(symbol) \
    int symbol(const char *name, int flags, ...) { \
        REAL(int, #symbol, const char *, int, ...); \
        MODE(flags) \
        if (strike_name(kind_of(flags), "open", AT_FDCWD, name)) return -1; \
        return opened(real(name, flags, mode), AT_FDCWD, name); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(symbol) \
    int symbol(int folder, const char *name, int flags, ...) { \
        REAL(int, #symbol, int, const char *, int, ...); \
        MODE(flags) \
        if (strike_name(kind_of(flags), "open", folder, name)) return -1; \
        return opened(real(folder, name, flags, mode), folder, name); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(symbol) \
    FILE *symbol(const char *name, const char *mode) { \
        REAL(FILE *, #symbol, const char *, const char *); \
        if (strike_name(mode[0] == 'r' && !strchr(mode, '+') ? READS : WRITES, "fopen", AT_FDCWD, name)) return NULL; \
        return real(name, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

int close(int file) {
    REAL(int, "close", int);
    if (file >= 0 && file < (int)sizeof tracked) tracked[file] = 0;
    return real(file);
}

/* A disk that fills up, and a process that is killed, leave part of what they were writing. */
static int torn(int result, size_t count) { return count > 1 && (result == 2 || state->action == FAIL_ON) && state->count == state->at; }

ssize_t write(int file, const void *data, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int result = strike_file(WRITES, "write", file);
    if (!result) return real(file, data, count);
    int half = torn(result, count);
    ssize_t written = half ? real(file, data, count / 2) : -1;
    if (result == 2) end();
    if (!half) errno = state->error;
    return written;
}

#define READ(symbol) \
    ssize_t symbol(int file, void *data, size_t count) { \
        REAL(ssize_t, #symbol, int, void *, size_t); \
        int result = strike_file(READS, "read", file); \
        if (result == 2) end(); \
        return result ? -1 : real(file, data, count); \
    }
READ(read)

#define PREAD(symbol, buffer, kind) \
    ssize_t symbol(int file, buffer data, size_t count, off_t offset) { \
        REAL(ssize_t, #symbol, int, buffer, size_t, off_t); \
        int result = strike_file(kind, #symbol, file); \
        if (result == 2) end(); \
        return result ? -1 : real(file, data, count, offset); \
    }
PREAD(pread, void *, READS)
PREAD(pread64, void *, READS)
PREAD(pwrite, const void *, WRITES)
PREAD(pwrite64, const void *, WRITES)

#define MMAP(symbol) \
    void *symbol(void *address, size_t length, int protection, int flags, int file, off_t offset) { \
        REAL(void *, #symbol, void *, size_t, int, int, int, off_t); \
        int result = file >= 0 ? strike_file(READS, "mmap", file) : 0; \
        if (result == 2) end(); \
        return result ? MAP_FAILED : real(address, length, protection, flags, file, offset); \
    }
MMAP(mmap)
MMAP(mmap64)

#define SEND(symbol) \
    ssize_t symbol(int out, int in, off_t *offset, size_t count) { \
        REAL(ssize_t, #symbol, int, int, off_t *, size_t); \
        int result = strike_file(WRITES, "sendfile", out); \
        if (!result) return real(out, in, offset, count); \
        int half = torn(result, count); \
        ssize_t sent = half ? real(out, in, offset, count / 2) : -1; \
        if (result == 2) end(); \
        if (!half) errno = state->error; \
        return sent; \
    }
SEND(sendfile)
SEND(sendfile64)

#define ON_FILE(symbol, kind, parameters, ...) \
    int symbol parameters { \
        static int(*real) parameters; \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #symbol); \
        int result = strike_file(kind, #symbol, file); \
        if (result == 2) end(); \
        return result ? -1 : real(__VA_ARGS__); \
    }
ON_FILE(fsync, WRITES, (int file), file)
ON_FILE(fdatasync, WRITES, (int file), file)
ON_FILE(ftruncate, WRITES, (int file, off_t size), file, size)
ON_FILE(ftruncate64, WRITES, (int file, off_t size), file, size)

#define ON_NAME(symbol, kind, folder, name, parameters, ...) \
    int symbol parameters { \
        static int(*real) parameters; \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #symbol); \
        if (strike_name(kind, #symbol, folder, name)) return -1; \
        return real(__VA_ARGS__); \
    }
ON_NAME(rename, WRITES, AT_FDCWD, to, (const char *from, const char *to), from, to)
ON_NAME(renameat, WRITES, to_folder, to, (int folder, const char *from, int to_folder, const char *to), folder, from, to_folder, to)
ON_NAME(link, WRITES, AT_FDCWD, to, (const char *from, const char *to), from, to)
ON_NAME(linkat, WRITES, to_folder, to, (int folder, const char *from, int to_folder, const char *to, int flags), folder, from,
        to_folder, to, flags)
ON_NAME(symlink, WRITES, AT_FDCWD, to, (const char *from, const char *to), from, to)
ON_NAME(mkdir, WRITES, AT_FDCWD, name, (const char *name, mode_t mode), name, mode)
ON_NAME(mkdirat, WRITES, folder, name, (int folder, const char *name, mode_t mode), folder, name, mode)
ON_NAME(unlink, REMOVALS, AT_FDCWD, name, (const char *name), name)
ON_NAME(unlinkat, REMOVALS, folder, name, (int folder, const char *name, int flags), folder, name, flags)
ON_NAME(rmdir, REMOVALS, AT_FDCWD, name, (const char *name), name)

DIR *opendir(const char *name) {
    REAL(DIR *, "opendir", const char *);
    if (strike_name(READS, "opendir", AT_FDCWD, name)) return NULL;
    return real(name);
}
