// A CUDA without a GPU, for tests. Preloaded, it answers PyTorch in the place of CUDA's driver and
// runtime, cuBLAS and cuDNN: as far as ResNets on one device ask.
//
// Memory is the host's and always holds zeros. Kernels do nothing, but are counted by name, stream
// and graph. What CUDA refuses while a stream is captured is refused here too and noted, see
// "Prohibited and Unhandled Operations" in the CUDA C++ Programming Guide. So it shows what is
// launched, where, and whether it may be captured - no numbers and no times.

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#define API extern "C" __attribute__((visibility("default")))

namespace {

constexpr size_t MEMORY = size_t(139) << 30, PAGE = 4096;

using Counts = std::map<std::string, long>;

struct Stream {
  size_t number;
  bool blocking;  // waits for the default stream, and that for it
  unsigned long long capture = 0;  // 0: none
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  Counts launched;
};

struct Event {
  bool recorded = false;
  unsigned long long capture = 0;  // in which it was recorded
};

// Made at the first use and never freed: PyTorch registers its kernels before this library's own
// objects would be there, and ends after them.
struct World {
  std::recursive_mutex lock;
  std::map<const void*, std::string> kernels;
  std::map<char*, size_t> device, host;  // address -> bytes
  size_t used = 0;
  std::vector<Stream*> streams{new Stream{0, true}};
  std::map<unsigned long long, Counts> graphs;  // by the number of their capture
  std::vector<std::string> refused, beside;
  long waits = 0;
};

World& world() {
  static auto* only = new World;
  return *only;
}

struct Locked {
  std::lock_guard<std::recursive_mutex> guard{world().lock};
};

thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

cudaError_t refuse(const std::string& what, cudaError_t why) {
  world().refused.push_back(what);
  return last_error = why;
}

Stream& stream_of(cudaStream_t stream) {
  const bool is_default = !stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
  return is_default ? *world().streams[0] : *reinterpret_cast<Stream*>(stream);
}

Stream* captured(unsigned long long capture = 0) {
  for (auto* stream : world().streams)
    if (stream->capture && (!capture || stream->capture == capture)) return stream;
  return nullptr;
}

// Calls that may wait for, or depend on, what a captured stream has not done.
cudaError_t unsafe(const std::string& what) {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  for (auto* stream : world().streams) {
    if (!stream->capture || stream->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool own = stream->thread == std::this_thread::get_id();
    const bool others = stream->mode == cudaStreamCaptureModeGlobal &&
                        thread_mode == cudaStreamCaptureModeGlobal;
    if (own || others) return refuse(what, cudaErrorStreamCaptureUnsupported);
  }
  return cudaSuccess;
}

cudaError_t waits(const std::string& what) {
  world().waits++;
  return unsafe(what);
}

cudaError_t launch(const std::string& name, cudaStream_t on) {
  Locked locked;
  auto& stream = stream_of(on);
  if (stream.capture) {
    world().graphs[stream.capture][name]++;
    return cudaSuccess;
  }
  if (auto* other = captured()) {
    if (!stream.number && other->blocking)
      return refuse(name + " on the default stream", cudaErrorStreamCaptureImplicit);
    if (other->thread == std::this_thread::get_id()) world().beside.push_back(name);
  }
  stream.launched[name]++;
  return cudaSuccess;
}

size_t whole_pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

cudaError_t allocate(void** pointer, size_t bytes, std::map<char*, size_t>& where) {
  *pointer = mmap(nullptr, whole_pages(bytes), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*pointer == MAP_FAILED) return last_error = cudaErrorMemoryAllocation;
  where[static_cast<char*>(*pointer)] = bytes;
  return cudaSuccess;
}

size_t release(void* pointer, std::map<char*, size_t>& where) {
  const auto found = where.find(static_cast<char*>(pointer));
  if (found == where.end()) return 0;
  const size_t bytes = found->second;
  munmap(pointer, whole_pages(bytes));
  where.erase(found);
  return bytes;
}

bool holds(const std::map<char*, size_t>& where, const void* pointer) {
  auto after = where.upper_bound(static_cast<char*>(const_cast<void*>(pointer)));
  if (after == where.begin()) return false;
  --after;
  return pointer < after->first + after->second;
}

void write_counts(FILE* file, const Counts& counts) {
  fprintf(file, "{");
  const char* comma = "";
  for (const auto& [name, count] : counts) {
    fprintf(file, "%s\"%s\": %ld", comma, name.c_str(), count);
    comma = ", ";
  }
  fprintf(file, "}");
}

void write_names(FILE* file, const char* key, const std::vector<std::string>& names) {
  fprintf(file, "\"%s\": [", key);
  for (size_t i = 0; i < names.size(); i++)
    fprintf(file, "%s\"%s\"", i ? ", " : "", names[i].c_str());
  fprintf(file, "], ");
}

}  // namespace

// What has been seen so far, as JSON.
API void cuda_stub_write(const char* path) {
  Locked locked;
  FILE* file = fopen(path, "w");
  if (!file) return;
  fprintf(file, "{");
  write_names(file, "refused", world().refused);
  write_names(file, "beside_a_capture", world().beside);
  fprintf(file, "\"waits\": %ld, \"streams\": [", world().waits);
  for (auto* stream : world().streams) {
    fprintf(file, stream->number ? ", " : "");
    write_counts(file, stream->launched);
  }
  fprintf(file, "], \"graphs\": [");
  const char* comma = "";
  for (const auto& [capture, counts] : world().graphs) {
    fprintf(file, "%s", comma);
    write_counts(file, counts);
    comma = ", ";
  }
  fprintf(file, "]}\n");
  fclose(file);
}

API void cuda_stub_forget() {
  Locked locked;
  for (auto* stream : world().streams) stream->launched.clear();
  world().graphs.clear();
  world().refused.clear();
  world().beside.clear();
  world().waits = 0;
}

// the device

API cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
API cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
API cudaError_t cudaSetDevice(int) { return cudaSuccess; }
API cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDA_VERSION, cudaSuccess; }
API cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDA_VERSION, cudaSuccess; }
API cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, cudaSuccess; }
API cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return *least = 0, *greatest = -5, cudaSuccess;
}

API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int) {
  memset(prop, 0, sizeof *prop);
  strcpy(prop->name, "stub of a GPU");
  prop->major = 9;
  prop->totalGlobalMem = MEMORY;
  prop->multiProcessorCount = 132;
  prop->warpSize = 32;
  prop->maxThreadsPerBlock = 1024;
  prop->maxThreadsPerMultiProcessor = 2048;
  prop->maxBlocksPerMultiProcessor = 32;
  prop->sharedMemPerBlock = 48 << 10;
  prop->sharedMemPerBlockOptin = 227 << 10;
  prop->sharedMemPerMultiprocessor = 228 << 10;
  prop->regsPerBlock = prop->regsPerMultiprocessor = 65536;
  prop->l2CacheSize = 60 << 20;
  prop->textureAlignment = 512;
  for (int i = 0; i < 3; i++) {
    prop->maxThreadsDim[i] = i < 2 ? 1024 : 64;
    prop->maxGridSize[i] = i ? 65535 : 2147483647;
  }
  return cudaSuccess;
}

API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  cudaDeviceProp prop;
  cudaGetDeviceProperties(&prop, 0);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = prop.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = prop.minor; break;
    case cudaDevAttrMultiProcessorCount: *value = prop.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = prop.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = prop.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = prop.sharedMemPerBlockOptin; break;
    case cudaDevAttrWarpSize: *value = prop.warpSize; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = prop.regsPerBlock; break;
    case cudaDevAttrMaxGridDimX: *value = prop.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: *value = prop.maxGridSize[1]; break;
    default: *value = 1;
  }
  return cudaSuccess;
}

API cudaError_t cudaDeviceSynchronize() {
  Locked locked;
  if (captured()) return refuse("cudaDeviceSynchronize", cudaErrorStreamCaptureUnsupported);
  return waits("cudaDeviceSynchronize");
}

API cudaError_t cudaGetLastError() {
  const auto error = last_error;
  last_error = cudaSuccess;
  return error;
}
API cudaError_t cudaPeekAtLastError() { return last_error; }
API const char* cudaGetErrorString(cudaError_t error) {
  static thread_local char text[64];
  snprintf(text, sizeof text, "CUDA error %d, by the stub", int(error));
  return text;
}
API const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

// memory

API cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  Locked locked;
  if (auto error = unsafe("cudaMalloc")) return error;
  if (world().used + bytes > MEMORY) return last_error = cudaErrorMemoryAllocation;
  world().used += bytes;
  return allocate(pointer, bytes, world().device);
}

API cudaError_t cudaFree(void* pointer) {
  Locked locked;
  if (!pointer) return cudaSuccess;  // some call it to begin
  if (auto error = unsafe("cudaFree")) return error;
  world().used -= release(pointer, world().device);
  return cudaSuccess;
}

API cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return *total = MEMORY, *free = MEMORY - world().used, cudaSuccess;
}

API cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  Locked locked;
  if (auto error = unsafe("cudaHostAlloc")) return error;
  return allocate(pointer, bytes, world().host);
}

API cudaError_t cudaFreeHost(void* pointer) {
  Locked locked;
  release(pointer, world().host);
  return cudaSuccess;
}

API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* pointer) {
  Locked locked;
  memset(found, 0, sizeof *found);
  const bool on_device = holds(world().device, pointer), pinned = holds(world().host, pointer);
  found->type = on_device ? cudaMemoryTypeDevice
                : pinned  ? cudaMemoryTypeHost
                          : cudaMemoryTypeUnregistered;
  found->device = on_device || pinned ? 0 : -1;
  found->devicePointer = on_device || pinned ? const_cast<void*>(pointer) : nullptr;
  return cudaSuccess;
}

// Nothing is written to the device, so what comes from there is zeros.
API cudaError_t cudaMemcpyAsync(
    void* target, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (kind == cudaMemcpyDeviceToHost) memcpy(target, source, bytes);
  return launch("copy, kind " + std::to_string(kind), stream);
}
API cudaError_t cudaMemsetAsync(void*, int, size_t, cudaStream_t stream) {
  return launch("memset", stream);
}

// streams, events and graphs

API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* made, unsigned flags, int) {
  Locked locked;
  auto& streams = world().streams;
  streams.push_back(new Stream{streams.size(), flags != cudaStreamNonBlocking});
  *made = reinterpret_cast<cudaStream_t>(streams.back());
  return cudaSuccess;
}
API cudaError_t cudaStreamGetPriority(cudaStream_t, int* priority) {
  return *priority = 0, cudaSuccess;
}

API cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Locked locked;
  if (stream_of(stream).capture)
    return refuse("cudaStreamSynchronize", cudaErrorStreamCaptureUnsupported);
  return waits("cudaStreamSynchronize");
}
API cudaError_t cudaStreamQuery(cudaStream_t) {
  Locked locked;
  return unsafe("cudaStreamQuery");
}

API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
API cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
API cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}
API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Locked locked;
  *reinterpret_cast<Event*>(event) = {true, stream_of(stream).capture};
  return cudaSuccess;
}
API cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
API cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) {
  return *ms = 1, cudaSuccess;
}

static cudaError_t look_at(cudaEvent_t which, const char* what) {
  const auto& event = *reinterpret_cast<Event*>(which);
  if (event.capture && captured(event.capture)) return refuse(what, cudaErrorCapturedEvent);
  return unsafe(what);
}
API cudaError_t cudaEventQuery(cudaEvent_t event) {
  Locked locked;
  return look_at(event, "cudaEventQuery");
}
API cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Locked locked;
  world().waits++;
  return look_at(event, "cudaEventSynchronize");
}

API cudaError_t cudaStreamWaitEvent(cudaStream_t on, cudaEvent_t which, unsigned) {
  Locked locked;
  auto& stream = stream_of(on);
  const auto& event = *reinterpret_cast<Event*>(which);
  auto* from = event.capture ? captured(event.capture) : nullptr;
  if (from && !stream.number)
    return refuse("the default stream waits for a captured one", cudaErrorStreamCaptureImplicit);
  if (stream.capture && event.recorded && stream.capture != event.capture)
    return refuse("a captured stream waits for another", cudaErrorStreamCaptureIsolation);
  if (from && !stream.capture) {  // joins it
    stream.capture = from->capture;
    stream.mode = from->mode;
    stream.thread = from->thread;
  }
  return cudaSuccess;
}

API cudaError_t cudaStreamBeginCapture(cudaStream_t on, cudaStreamCaptureMode mode) {
  Locked locked;
  static unsigned long long captures = 0;
  auto& stream = stream_of(on);
  if (!stream.number)
    return refuse("a capture of the default stream", cudaErrorStreamCaptureUnsupported);
  stream.capture = ++captures;
  stream.mode = mode;
  stream.thread = std::this_thread::get_id();
  return cudaSuccess;
}

API cudaError_t cudaStreamEndCapture(cudaStream_t on, cudaGraph_t* graph) {
  Locked locked;
  auto& stream = stream_of(on);
  const auto capture = stream.capture;
  stream.capture = 0;
  *graph = reinterpret_cast<cudaGraph_t>(capture);
  while (auto* other = captured(capture)) {
    other->capture = 0;
    refuse("a stream has joined a capture and not come back", cudaErrorStreamCaptureUnjoined);
  }
  return last_error;
}

API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  Locked locked;
  *status = stream_of(stream).capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
API cudaError_t cudaStreamGetCaptureInfo(
    cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* capture,
    cudaGraph_t* graph, const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
    size_t* count) {
  if (capture) *capture = stream_of(stream).capture;
  if (graph) *graph = nullptr;
  if (nodes) *nodes = nullptr;
  if (edges) *edges = nullptr;
  if (count) *count = 0;
  return cudaStreamIsCapturing(stream, status);
}
API cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, thread_mode);
  return cudaSuccess;
}

API cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  Locked locked;
  *count = world().graphs[reinterpret_cast<unsigned long long>(graph)].size();
  return cudaSuccess;
}
API cudaError_t cudaGraphInstantiateWithFlags(
    cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  return *made = reinterpret_cast<cudaGraphExec_t>(graph), cudaSuccess;
}
API cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t stream) {
  return launch("graph", stream);
}
API cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }

// kernels

API void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
API void __cudaRegisterFatBinaryEnd(void**) {}
API void __cudaUnregisterFatBinary(void**) {}
API char __cudaInitModule(void**) { return 1; }
API void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
API void __cudaRegisterFunction(
    void**, const char* function, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
    int*) {
  Locked locked;
  world().kernels[function] = name;
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  void* stream;
};
static thread_local std::vector<Configuration> configurations;

API unsigned __cudaPushCallConfiguration(
    dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const auto top = configurations.back();
  configurations.pop_back();
  *grid = top.grid, *block = top.block, *shared = top.shared;
  *static_cast<void**>(stream) = top.stream;
  return cudaSuccess;
}
API cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  return *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function)), cudaSuccess;
}
API cudaError_t __cudaLaunchKernel(
    cudaKernel_t kernel, dim3, dim3, void**, size_t, cudaStream_t stream) {
  Locked locked;
  return launch(world().kernels[kernel], stream);
}
API cudaError_t cudaLaunchKernelExC(
    const cudaLaunchConfig_t* config, const void* function, void**) {
  Locked locked;
  return launch(world().kernels[function], config->stream);
}
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* found, const void*) {
  memset(found, 0, sizeof *found);
  found->maxThreadsPerBlock = 1024;
  found->binaryVersion = found->ptxVersion = 90;
  return cudaSuccess;
}
API cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* blocks, const void*, int, size_t, unsigned) {
  return *blocks = 8, cudaSuccess;
}

// the driver

static CUresult has_context(CUdevice, unsigned* flags, int* active) {
  return *flags = 0, *active = 1, CUDA_SUCCESS;
}
static CUresult done() { return CUDA_SUCCESS; }
API cudaError_t cudaGetDriverEntryPointByVersion(
    const char* name, void** function, unsigned, unsigned long long,
    cudaDriverEntryPointQueryResult* found) {
  const bool asks_for_context = !strcmp(name, "cuDevicePrimaryCtxGetState");
  *function = reinterpret_cast<void*>(asks_for_context ? (CUresult(*)())has_context : done);
  *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

#undef cuDevicePrimaryCtxGetState
#define DRIVER(name) API CUresult name
DRIVER(cuDevicePrimaryCtxGetState)(CUdevice device, unsigned* flags, int* active) {
  return has_context(device, flags, active);
}
DRIVER(cuDevicePrimaryCtxRetain)(CUcontext* context, CUdevice) {
  return *context = reinterpret_cast<CUcontext>(1), CUDA_SUCCESS;
}
DRIVER(cuCtxGetCurrent)(CUcontext* context) { return cuDevicePrimaryCtxRetain(context, 0); }
DRIVER(cuCtxSetCurrent)(CUcontext) { return CUDA_SUCCESS; }
DRIVER(cuDeviceGet)(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
DRIVER(cuDeviceGetAttribute)(int* value, CUdevice_attribute attribute, CUdevice) {
  cudaDeviceGetAttribute(value, static_cast<cudaDeviceAttr>(attribute), 0);  // the same numbers
  return CUDA_SUCCESS;
}
DRIVER(cuPointerGetAttribute)(void* value, CUpointer_attribute attribute, CUdeviceptr pointer) {
  if (attribute != CU_POINTER_ATTRIBUTE_DEVICE_POINTER) return CUDA_ERROR_NOT_SUPPORTED;
  return *static_cast<CUdeviceptr*>(value) = pointer, CUDA_SUCCESS;
}

// Kernels that Triton has compiled: a function is its name.
DRIVER(cuModuleLoad)(CUmodule* module, const char*) {
  return *module = reinterpret_cast<CUmodule>(1), CUDA_SUCCESS;
}
DRIVER(cuModuleLoadData)(CUmodule* module, const void*) { return cuModuleLoad(module, nullptr); }
DRIVER(cuModuleUnload)(CUmodule) { return CUDA_SUCCESS; }
DRIVER(cuModuleGetFunction)(CUfunction* function, CUmodule, const char* name) {
  return *function = reinterpret_cast<CUfunction>(new std::string(name)), CUDA_SUCCESS;
}
DRIVER(cuFuncGetAttribute)(int* value, CUfunction_attribute attribute, CUfunction) {
  const bool is_limit = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
  return *value = is_limit ? 1024 : 0, CUDA_SUCCESS;
}
DRIVER(cuFuncSetAttribute)(CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; }
DRIVER(cuFuncSetCacheConfig)(CUfunction, CUfunc_cache) { return CUDA_SUCCESS; }
static CUresult launch_compiled(CUfunction function, CUstream stream) {
  return static_cast<CUresult>(launch(*reinterpret_cast<std::string*>(function), stream));
}
DRIVER(cuLaunchKernel)(
    CUfunction function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
    CUstream stream, void**, void**) {
  return launch_compiled(function, stream);
}
DRIVER(cuLaunchKernelEx)(const CUlaunchConfig* config, CUfunction function, void**, void**) {
  return launch_compiled(function, config->hStream);
}

// Names that have to be there when PyTorch or Triton is loaded; nothing calls them.
#define ABSENT(name) \
  asm(".globl " #name "\n.type " #name ", @function\n.set " #name ", cuda_stub_absent")
DRIVER(cuda_stub_absent)() { return CUDA_ERROR_NOT_SUPPORTED; }
ABSENT(cuCtxGetLimit);
ABSENT(cuCtxSetLimit);
ABSENT(cuGetErrorString);
ABSENT(cuLaunchCooperativeKernel);
ABSENT(cuLinkAddData_v2);
ABSENT(cuLinkComplete);
ABSENT(cuLinkCreate_v2);
ABSENT(cuModuleLoadDataEx);
ABSENT(cuOccupancyMaxActiveBlocksPerMultiprocessor);
ABSENT(cuOccupancyMaxActiveClusters);
ABSENT(cuPointerGetAttributes);
ABSENT(cuTensorMapEncodeTiled);

// cuBLAS: a handle is the stream it works on

#define BLAS(name) API int name
BLAS(cublasCreate_v2)(cudaStream_t** handle) { return *handle = new cudaStream_t{}, 0; }
BLAS(cublasSetStream_v2)(cudaStream_t* handle, cudaStream_t stream) { return *handle = stream, 0; }
BLAS(cublasSetWorkspace_v2)(void*, void*, size_t) { return 0; }
BLAS(cublasGetMathMode)(void*, int* mode) { return *mode = 0, 0; }
BLAS(cublasSetMathMode)(void*, int) { return 0; }
BLAS(cublasSgemm_v2)(cudaStream_t* handle) { return launch("gemm", *handle); }
BLAS(cublasGemmEx)(cudaStream_t* handle) { return launch("gemm", *handle); }
BLAS(cublasLtMatmulDescCreate)(void** made) { return *made = malloc(1), 0; }
BLAS(cublasLtMatmulDescSetAttribute)() { return 0; }
BLAS(cublasLtMatmulDescDestroy)(void* made) { return free(made), 0; }
BLAS(cublasLtMatmulPreferenceCreate)(void** made) { return *made = malloc(1), 0; }
BLAS(cublasLtMatmulPreferenceSetAttribute)() { return 0; }
BLAS(cublasLtMatmulPreferenceDestroy)(void* made) { return free(made), 0; }
BLAS(cublasLtMatrixLayoutCreate)(void** made) { return *made = malloc(1), 0; }
BLAS(cublasLtMatrixLayoutDestroy)(void* made) { return free(made), 0; }
BLAS(cublasLtMatmulAlgoGetHeuristic)(
    void*, void*, void*, void*, void*, void*, void*, int, void*, int* found) {
  return *found = 1, 0;
}
BLAS(cublasLtMatmul)(
    void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*,
    void*, size_t, cudaStream_t stream) {
  return launch("gemm", stream);
}

// cuDNN: convolutions by its backend, whose descriptors remember the operation they come from, and
// batch norm by the older functions

#define DNN(name) API cudnnStatus_t name
static cudnnStatus_t done_on(cudnnHandle_t handle, const char* name) {
  const bool failed = launch(name, *reinterpret_cast<cudaStream_t*>(handle));
  return failed ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}

API size_t cudnnGetVersion() { return CUDNN_VERSION; }
API size_t cudnnGetCudartVersion() { return CUDA_VERSION; }
API const char* cudnnGetErrorString(cudnnStatus_t) { return "error of cuDNN, by the stub"; }
DNN(cudnnCreate)(cudnnHandle_t* handle) {
  return *handle = reinterpret_cast<cudnnHandle_t>(new cudaStream_t{}), CUDNN_STATUS_SUCCESS;
}
DNN(cudnnSetStream)(cudnnHandle_t handle, cudaStream_t stream) {
  return *reinterpret_cast<cudaStream_t*>(handle) = stream, CUDNN_STATUS_SUCCESS;
}
DNN(cudnnGetStream)(cudnnHandle_t handle, cudaStream_t* stream) {
  return *stream = *reinterpret_cast<cudaStream_t*>(handle), CUDNN_STATUS_SUCCESS;
}

struct Descriptor {
  int type, operation;
};
static int& operation_of(const void* descriptors) {
  return (*static_cast<Descriptor* const*>(descriptors))->operation;
}
DNN(cudnnBackendCreateDescriptor)(
    cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* made) {
  return *made = new Descriptor{type, type}, CUDNN_STATUS_SUCCESS;
}
DNN(cudnnBackendDestroyDescriptor)(cudnnBackendDescriptor_t made) {
  return delete static_cast<Descriptor*>(made), CUDNN_STATUS_SUCCESS;
}
DNN(cudnnBackendFinalize)(cudnnBackendDescriptor_t) { return CUDNN_STATUS_SUCCESS; }
DNN(cudnnBackendSetAttribute)(
    cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t,
    int64_t, const void* value) {
  const bool passes_on =
      name == CUDNN_ATTR_OPERATIONGRAPH_OPS || name == CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH ||
      name == CUDNN_ATTR_ENGINE_OPERATION_GRAPH || name == CUDNN_ATTR_ENGINECFG_ENGINE ||
      name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG;
  if (passes_on) operation_of(&of) = operation_of(value);
  return CUDNN_STATUS_SUCCESS;
}
DNN(cudnnBackendGetAttribute)(
    cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t type,
    int64_t asked, int64_t* count, void* values) {
  const bool is_number = type == CUDNN_TYPE_INT64, is_other = type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
  if (count) *count = is_number || is_other;
  if (values && asked && is_number) *static_cast<int64_t*>(values) = 0;
  if (values && asked && is_other) operation_of(values) = operation_of(&of);
  return CUDNN_STATUS_SUCCESS;
}
DNN(cudnnBackendExecute)(
    cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t) {
  switch (operation_of(&plan)) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return done_on(handle, "convolution");
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return done_on(handle, "convolution, gradient of the input");
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return done_on(handle, "convolution, gradient of the weights");
    default: return CUDNN_STATUS_NOT_SUPPORTED;
  }
}

using Layout = cudnnTensorDescriptor_t;
DNN(cudnnCreateTensorDescriptor)(Layout* made) {
  return *made = static_cast<Layout>(malloc(1)), CUDNN_STATUS_SUCCESS;
}
DNN(cudnnSetTensorNdDescriptor)(Layout, cudnnDataType_t, int, const int*, const int*) {
  return CUDNN_STATUS_SUCCESS;
}
DNN(cudnnDestroyTensorDescriptor)(Layout made) { return free(made), CUDNN_STATUS_SUCCESS; }
DNN(cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize)(
    cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const Layout, const Layout,
    const Layout, const Layout, const cudnnActivationDescriptor_t, size_t* bytes) {
  return *bytes = 1024, CUDNN_STATUS_SUCCESS;
}
DNN(cudnnGetBatchNormalizationBackwardExWorkspaceSize)(
    cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const Layout, const Layout,
    const Layout, const Layout, const Layout, const Layout, const cudnnActivationDescriptor_t,
    size_t* bytes) {
  return *bytes = 1024, CUDNN_STATUS_SUCCESS;
}
DNN(cudnnGetBatchNormalizationTrainingExReserveSpaceSize)(
    cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const cudnnActivationDescriptor_t,
    const Layout, size_t* bytes) {
  return *bytes = 1024, CUDNN_STATUS_SUCCESS;
}
DNN(cudnnBatchNormalizationForwardTrainingEx)(
    cudnnHandle_t handle, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const void*, const void*,
    const Layout, const void*, const Layout, const void*, const Layout, void*, const Layout,
    const void*, const void*, double, void*, void*, double, void*, void*,
    const cudnnActivationDescriptor_t, void*, size_t, void*, size_t) {
  return done_on(handle, "batch norm");
}
DNN(cudnnBatchNormalizationBackwardEx)(
    cudnnHandle_t handle, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const void*, const void*,
    const void*, const void*, const Layout, const void*, const Layout, const void*,
    const Layout, const void*, const Layout, void*, const Layout, void*, const Layout,
    const void*, const void*, void*, void*, double, const void*, const void*,
    const cudnnActivationDescriptor_t, void*, size_t, void*, size_t) {
  return done_on(handle, "batch norm, gradient");
}
DNN(cudnnBatchNormalizationForwardInference)(
    cudnnHandle_t handle, cudnnBatchNormMode_t, const void*, const void*, const Layout,
    const void*, const Layout, void*, const Layout, const void*, const void*, const void*,
    const void*, double) {
  return done_on(handle, "batch norm, evaluation");
}
