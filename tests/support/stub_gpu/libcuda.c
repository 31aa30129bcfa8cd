/*
 * A CUDA driver without a GPU: enough of libcuda.so.1 for the real cuda-core to find devices, allocate, copy, record events, and
 * capture and launch graphs. Memory is the host's and is counted; work is done at once, or kept in a graph while a stream captures.
 * Names and behaviour: docs.nvidia.com/cuda/cuda-driver-api. Build: gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o libcuda.so.1 libcuda.c -ldl
 *
 * FAKE_LIMIT  bytes of memory of each device, 2^32 by default      FAKE_CUDA  what cuDriverGetVersion says, 13000 by default
 * FAKE_GPUS   "name:capability;...", "NVIDIA Fake:89" by default   FAKE_TRACE prints calls to standard error
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
enum { MAX_DEVICES = 8, MAGIC = 4711, RELEASE_THRESHOLD = 4, ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76 };
typedef unsigned long long Address;

static int tracing(void) { return getenv("FAKE_TRACE") != NULL; }
#define TRACE(...) do { if (tracing()) { fprintf(stderr, "[cuda] " __VA_ARGS__); fputc('\n', stderr); } } while (0)
static char contexts[MAX_DEVICES];
static __thread char *current = NULL;
#define NEED_CONTEXT do { if (!current) { TRACE("%s: no current context", __func__); return INVALID_CONTEXT; } } while (0)

/* --- devices */
static size_t limit(void) { const char *said = getenv("FAKE_LIMIT"); return said ? strtoull(said, NULL, 10) : (size_t)1 << 32; }
static const char *gpus(void) { const char *said = getenv("FAKE_GPUS"); return said ? said : "NVIDIA Fake:89"; }
static const char *gpu(int device) {
    const char *one = gpus();
    while (device-- && one) { one = strchr(one, ';'); if (one) one++; }
    return one;
}
int cuInit(unsigned flags) { return SUCCESS; }
int cuDriverGetVersion(int *version) { const char *said = getenv("FAKE_CUDA"); *version = said ? atoi(said) : 13000; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 0; while (gpu(*count)) ++*count; return SUCCESS; }
int cuDeviceGet(int *device, int index) { *device = index; return gpu(index) ? SUCCESS : INVALID_DEVICE; }
int cuDeviceGetName(char *name, int size, int device) {
    const char *one = gpu(device);
    snprintf(name, size, "%.*s", (int)strcspn(one, ":;"), one);
    return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int capability = atoi(strchr(gpu(device), ':') + 1);
    *value = attribute == ATTRIBUTE_MAJOR ? capability / 10 : attribute == ATTRIBUTE_MINOR ? capability % 10 : 1;
    return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = limit(); return SUCCESS; }
int cuDeviceGetUuid_v2(void *uuid, int device) { memset(uuid, device + 1, 16); return SUCCESS; }

/* --- contexts: one of each device */
int cuDevicePrimaryCtxRetain(char **context, int device) { *context = contexts + device; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int device) { return SUCCESS; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return SUCCESS; }
int cuCtxSetCurrent(char *context) { current = context; return SUCCESS; }
int cuCtxGetCurrent(char **context) { *context = current; return SUCCESS; }
int cuCtxPushCurrent_v2(char *context) { current = context; return SUCCESS; }
int cuCtxPopCurrent_v2(char **context) { if (context) *context = current; current = NULL; return SUCCESS; }
int cuCtxGetDevice(int *device) { NEED_CONTEXT; *device = current - contexts; return SUCCESS; }
int cuCtxGetDevice_v2(int *device, char *context) {
    context = context ? context : current;
    if (!context) return INVALID_CONTEXT;
    *device = context - contexts;
    return SUCCESS;
}
int cuCtxGetId(char *context, unsigned long long *id) { *id = 1 + (context - contexts); return SUCCESS; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = *greatest = 0; return SUCCESS; }

/* --- memory: what a pool keeps counts as taken until it is synchronised or trimmed */
typedef struct { unsigned long long threshold; size_t kept; } Pool;
typedef struct { size_t n_bytes; Pool *pool; int magic; } Header;
static size_t used = 0, all_kept = 0;
static Pool default_pools[MAX_DEVICES];
#define MAX_POOLS 64
static Pool *pools[MAX_POOLS];
static int n_pools = 0;

static void release(void) {
    for (int i = 0; i < n_pools; i++)
        if (pools[i]->kept > pools[i]->threshold) { all_kept -= pools[i]->kept; TRACE("release %zu", pools[i]->kept); pools[i]->kept = 0; }
}
static int allocate(Address *address, size_t n_bytes, Pool *pool) {
    if (pool && pool->kept >= n_bytes) { pool->kept -= n_bytes; all_kept -= n_bytes; }
    else if (used + all_kept + n_bytes > limit()) {
        TRACE("no %zu bytes: used %zu, kept %zu of %zu", n_bytes, used, all_kept, limit());
        return OUT_OF_MEMORY;
    }
    char *block = malloc(n_bytes + sizeof(Header) + 256);
    uintptr_t start = ((uintptr_t)block + sizeof(Header) + 255) & ~(uintptr_t)255;
    memset((void *)start, 0xA5, n_bytes);
    Header *header = (Header *)(start - sizeof(Header));
    *header = (Header){n_bytes, pool, MAGIC};
    used += n_bytes;
    *address = start;
    TRACE("allocate %zu %s", n_bytes, pool ? "from a pool" : "directly");
    return SUCCESS;
}
static int give_back(Address address) {
    Header *header = (Header *)(address - sizeof(Header));
    if (header->magic != MAGIC) { fprintf(stderr, "[cuda] free of what was not allocated\n"); return INVALID_VALUE; }
    header->magic = 0;
    used -= header->n_bytes;
    if (header->pool) { header->pool->kept += header->n_bytes; all_kept += header->n_bytes; }
    return SUCCESS;
}
static Pool *of_device(int device) {
    Pool *pool = default_pools + device;
    for (int i = 0; i < n_pools; i++) if (pools[i] == pool) return pool;
    return pools[n_pools++] = pool;
}
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) { NEED_CONTEXT; *total = limit(); *free_bytes = limit() - used - all_kept; return SUCCESS; }
int cuMemAlloc_v2(Address *address, size_t n_bytes) { NEED_CONTEXT; return allocate(address, n_bytes, NULL); }
int cuMemFree_v2(Address address) { NEED_CONTEXT; return give_back(address); }
int cuMemAllocHost_v2(void **address, size_t n_bytes) { NEED_CONTEXT; *address = aligned_alloc(4096, (n_bytes + 4095) / 4096 * 4096); return SUCCESS; }
int cuMemFreeHost(void *address) { NEED_CONTEXT; free(address); return SUCCESS; }
int cuMemAllocFromPoolAsync(Address *address, size_t n_bytes, Pool *pool, void *stream) { return allocate(address, n_bytes, pool); }
int cuMemFreeAsync(Address address, void *stream) { return give_back(address); }
int cuDeviceGetMemPool(Pool **pool, int device) { *pool = of_device(device); return SUCCESS; }
int cuDeviceGetDefaultMemPool(Pool **pool, int device) { *pool = of_device(device); return SUCCESS; }
int cuMemPoolCreate(Pool **pool, const void *properties) {
    if (n_pools == MAX_POOLS) return OUT_OF_MEMORY;
    *pool = pools[n_pools++] = calloc(1, sizeof(Pool));
    return SUCCESS;
}
int cuMemPoolDestroy(Pool *pool) { all_kept -= pool->kept; pool->kept = 0; return SUCCESS; }
int cuMemPoolGetAttribute(Pool *pool, int attribute, unsigned long long *value) {
    *value = attribute == RELEASE_THRESHOLD ? pool->threshold : 0;
    return SUCCESS;
}
int cuMemPoolSetAttribute(Pool *pool, int attribute, unsigned long long *value) {
    if (attribute == RELEASE_THRESHOLD) pool->threshold = *value;
    return SUCCESS;
}
int cuMemPoolTrimTo(Pool *pool, size_t least) { all_kept -= pool->kept; pool->kept = 0; return SUCCESS; }
int cuPointerGetAttributes(unsigned count, int *attributes, void **values, Address address) {
    for (unsigned i = 0; i < count; i++) *(int *)values[i] = 0;
    return SUCCESS;
}
int cuPointerGetAttribute(void *value, int attribute, Address address) { *(int *)value = 2; return SUCCESS; }

/* --- streams, events and graphs: a graph is a list of what was put on a stream while it captured */
typedef struct Node { void (*function)(void *); void *argument; Address target, source; size_t n_bytes; struct Node *next; } Node;
typedef struct { int capturing, invalid; char *context; Node *graph, **last; } Stream;
#define IS_OURS(stream) ((uintptr_t)(stream) > 16) /* smaller handles are the default streams */
static void work(const Node *node) {
    if (node->function) node->function(node->argument);
    else memcpy((void *)node->target, (void *)node->source, node->n_bytes);
}
static int put(Stream *stream, Node node) {
    if (!IS_OURS(stream) || !stream->capturing) { work(&node); return SUCCESS; }
    if (stream->invalid) return CAPTURE_INVALIDATED;
    *stream->last = malloc(sizeof(Node));
    **stream->last = node;
    stream->last = &(*stream->last)->next;
    return SUCCESS;
}
int cuStreamCreateWithPriority(Stream **stream, unsigned flags, int priority) {
    NEED_CONTEXT;
    *stream = calloc(1, sizeof(Stream));
    (*stream)->context = current;
    return SUCCESS;
}
int cuStreamCreate(Stream **stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }
int cuStreamDestroy_v2(Stream *stream) { return SUCCESS; }
int cuStreamGetCtx(Stream *stream, char **context) { *context = IS_OURS(stream) ? stream->context : current; return SUCCESS; }
int cuStreamGetCtx_v2(Stream *stream, char **context, void **green) { if (green) *green = NULL; return cuStreamGetCtx(stream, context); }
int cuStreamGetFlags(Stream *stream, unsigned *flags) { *flags = 1; return SUCCESS; }
int cuStreamGetPriority(Stream *stream, int *priority) { *priority = 0; return SUCCESS; }
int cuStreamGetDevice(Stream *stream, int *device) { *device = stream->context - contexts; return SUCCESS; }
int cuStreamGetId(Stream *stream, unsigned long long *id) { *id = (uintptr_t)stream; return SUCCESS; }
int cuStreamSynchronize(Stream *stream) {
    if (IS_OURS(stream) && stream->capturing) { stream->invalid = 1; return CAPTURE_UNSUPPORTED; }
    release();
    return SUCCESS;
}
int cuCtxSynchronize(void) { NEED_CONTEXT; release(); return SUCCESS; }
int cuCtxSynchronize_v2(char *context) { release(); return SUCCESS; }
int cuStreamIsCapturing(Stream *stream, int *state) { *state = IS_OURS(stream) && stream->capturing ? 1 + stream->invalid : 0; return SUCCESS; }
int cuStreamGetCaptureInfo_v3(Stream *stream, int *state, unsigned long long *id, void **graph, void ***nodes, void **edges, size_t *count) {
    cuStreamIsCapturing(stream, state);
    if (id) *id = 7;
    if (graph) *graph = stream->graph;
    if (count) *count = 0;
    return SUCCESS;
}
int cuGraphCreate(Node **graph, unsigned flags) { *graph = calloc(1, sizeof(Node)); return SUCCESS; } /* a head, then what it does */
int cuStreamBeginCaptureToGraph(Stream *stream, Node *graph, void *nodes, void *edges, size_t count, int mode) {
    TRACE("begin capture");
    stream->capturing = 1;
    stream->invalid = 0;
    stream->graph = graph;
    stream->last = &graph->next;
    return SUCCESS;
}
int cuStreamBeginCapture_v2(Stream *stream, int mode) {
    Node *graph;
    cuGraphCreate(&graph, 0);
    return cuStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0, mode);
}
int cuStreamEndCapture(Stream *stream, Node **graph) {
    TRACE("end capture%s", stream->invalid ? ", invalidated" : "");
    stream->capturing = 0;
    *graph = stream->invalid ? NULL : stream->graph;
    return stream->invalid ? CAPTURE_INVALIDATED : SUCCESS;
}
int cuThreadExchangeStreamCaptureMode(int *mode) { return SUCCESS; }
int cuStreamWaitEvent(Stream *stream, void *event, unsigned flags) { return SUCCESS; }
int cuEventCreate(void **event, unsigned flags) { NEED_CONTEXT; *event = malloc(8); return SUCCESS; }
int cuEventDestroy_v2(void *event) { return SUCCESS; }
int cuEventRecord(void *event, Stream *stream) { return SUCCESS; }
int cuEventSynchronize(void *event) { release(); return SUCCESS; }
int cuEventQuery(void *event) { return SUCCESS; }
int cuMemcpyAsync(Address target, Address source, size_t n_bytes, Stream *stream) {
    return put(stream, (Node){NULL, NULL, target, source, n_bytes, NULL});
}
int cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *argument) {
    return put(stream, (Node){function, argument, 0, 0, 0, NULL});
}
int cuGraphInstantiateWithParams(Node **executable, Node *graph, char *parameters) {
    *executable = graph;
    memset(parameters + 24, 0, sizeof(int)); /* result_out: success */
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(Node **executable, Node *graph, unsigned long long flags) { *executable = graph; return SUCCESS; }
int cuGraphInstantiate(Node **executable, Node *graph, unsigned long long flags) { *executable = graph; return SUCCESS; }
int cuGraphDestroy(Node *graph) { return SUCCESS; }
int cuGraphExecDestroy(Node *executable) { return SUCCESS; }
int cuGraphLaunch(Node *executable, Stream *stream) {
    TRACE("launch");
    for (Node *node = executable->next; node; node = node->next) put(stream, *node);
    return SUCCESS;
}

/* --- errors, and how cuda-core finds all of this */
int cuGetErrorName(int error, const char **name) {
    *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT"
          : error == CAPTURE_UNSUPPORTED ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
          : error == CAPTURE_INVALIDATED ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" : "CUDA_ERROR_OTHER";
    return SUCCESS;
}
int cuGetErrorString(int error, const char **text) { *text = error == OUT_OF_MEMORY ? "out of memory" : "another error"; return SUCCESS; }
static int not_there(void) { TRACE("a function that the stub has not was called"); return SUCCESS; }
int cuGetProcAddress_v2(const char *symbol, void **function, int version, unsigned long long flags, int *status) {
    static const char *endings[] = {"_v3", "_v2", ""};
    static void *self = NULL;
    char name[256];
    if (!self) { Dl_info own; dladdr((void *)cuInit, &own); self = dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD); }
    if (status) *status = 0;
    *function = NULL;
    for (int i = version >= 12030 ? 0 : 1; i < 3 && !*function; i++) {
        snprintf(name, sizeof name, "%s%s", symbol, endings[i]);
        *function = dlsym(self, name);
    }
    if (!*function) *function = (void *)not_there;
    return SUCCESS;
}
int cuGetProcAddress(const char *symbol, void **function, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

/* --- for tests: bytes that are taken, of which a pool keeps some for later */
size_t stub_used(void) { return used; }
size_t stub_kept(void) { return all_kept; }
