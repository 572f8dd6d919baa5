// Custom calls of XLA on a CPU. A whole window of an LSTM or a GRU, all time steps of a batch, forward or backward, is
// one call; see engine/windows.py for what each call takes and returns. The weights are packed once for all steps, the
// rows of the batch are divided among XLA's own threads, and no thread waits for another between steps. Another call
// finds the likeliest words of each row of scores; see engine/likeliest.py.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <immintrin.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "xla_ffi.h"

#if !defined(__x86_64__) || !defined(__GNUC__) || defined(__clang__)
#error "the kernels need GCC and an x86-64 processor"
#endif

struct Window {  // arrays are (time, batch, ...) unless a shape is given; those that nobody reads are null
  long T, B, H, G, num_states;
  bool reverse;  // from the last step to the first
  const float *projected, *mask, *W, *bias;                  // (T, B, G H), (T, B), (H, G H), (H,)
  const float* state0[2];                                    // (B, H)
  float *state[2], *stored[4];                               // what a step stores for the gradient
  const float *saved[4], *d_out, *d_state[2], *d_last[2];    // the last (B, H)
  float *d_projected, *d_product, *d_trace[2], *d_first[2];  // the last (B, H)
};

enum Call { LSTM_FORWARD, LSTM_BACKWARD, GRU_FORWARD, GRU_BACKWARD };

struct Kernels {  // for one instruction set
  long (*packed_floats)(const Window&), (*scratch_floats)(const Window&, long rows), (*panels)(const Window&);
  struct {
    void (*pack)(const Window&, float* packed, long panel);
    void (*run)(const Window&, const float* packed, long b0, long b1, float* scratch);
  } calls[4];
};


#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define LANES 8
#include "cells.h"
#include "likeliest.h"
#undef INLINE
#undef LANES
}  // namespace avx2
#pragma GCC pop_options

static const Kernels* find_kernels() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2::KERNELS;
  return nullptr;
}

// Memory that is kept from call to call.
class Scratch {
 public:
  explicit Scratch(size_t floats) {
    std::lock_guard<std::mutex> lock(mutex());
    auto& free = unused();
    if (!free.empty()) block = free.back(), free.pop_back();
    if (block.size >= floats) return;
    std::free(block.data);
    block.data = static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 63) / 64 * 64));
    block.size = block.data ? floats : 0;
  }
  ~Scratch() {
    std::lock_guard<std::mutex> lock(mutex());
    if (block.data) unused().push_back(block);
  }
  float* data() const { return block.data; }

 private:
  struct Block { float* data = nullptr; size_t size = 0; } block;
  static std::mutex& mutex() { static auto* m = new std::mutex; return *m; }
  static std::vector<Block>& unused() { static auto* v = new std::vector<Block>; return *v; }
};

// Tasks 0 to n - 1 in the calling thread and in XLA's, which take the next one whenever they are free.
struct Tasks {
  std::function<void(long)> run;
  long n;
  std::atomic<long> next{0}, done{0};
  std::mutex mutex;
  std::condition_variable all_done;

  void work() {
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(modes | 0x8040);  // denormal numbers are zero in every thread, as in XLA's code
    for (long i; (i = next.fetch_add(1)) < n;) {
      run(i);
      if (done.fetch_add(1) + 1 == n) {
        std::lock_guard<std::mutex> lock(mutex);
        all_done.notify_all();
      }
    }
    _mm_setcsr(modes);
  }
};

static void in_parallel(const XLA_FFI_CallFrame* frame, long n, std::function<void(long)> run) {
  auto tasks = std::make_shared<Tasks>();
  tasks->run = std::move(run), tasks->n = n;
  for (long i = 1; i < n; i++) {
    auto* data = new std::shared_ptr<Tasks>(tasks);
    auto helper = [](void* data) {
      std::unique_ptr<std::shared_ptr<Tasks>> tasks(static_cast<std::shared_ptr<Tasks>*>(data));
      (*tasks)->work();
    };
    XLA_FFI_ThreadPool_Schedule_Args args = {sizeof args, nullptr, frame->ctx, helper, data};
    if (XLA_FFI_Error* error = frame->api->schedule(&args)) {  // no threads: this one does it all
      XLA_FFI_Error_Destroy_Args destroy = {sizeof destroy, nullptr, error};
      frame->api->error_destroy(&destroy);
      delete data;
      break;
    }
  }
  tasks->work();
  std::unique_lock<std::mutex> lock(tasks->mutex);
  tasks->all_done.wait(lock, [&] { return tasks->done.load() == n; });
}

static long num_threads(const XLA_FFI_CallFrame* frame) {
  int64_t count = 1;
  XLA_FFI_ThreadPool_NumThreads_Args args = {sizeof args, nullptr, frame->ctx, &count};
  if (XLA_FFI_Error* error = frame->api->num_threads(&args)) {
    XLA_FFI_Error_Destroy_Args destroy = {sizeof destroy, nullptr, error};
    frame->api->error_destroy(&destroy);
    return 1;
  }
  return count < 1 ? 1 : count;
}

static bool compute(const XLA_FFI_CallFrame* frame, const Window& w, Call call) {
  static const Kernels* kernels = find_kernels();
  if (!kernels) return false;
  constexpr long MIN_ROWS = 4;  // fewer for a thread are not worth reading all weights for
  long threads = num_threads(frame), most = w.B / MIN_ROWS;
  long n = most < 1 ? 1 : most < threads ? most : threads, panels = kernels->panels(w);
  Scratch packed(kernels->packed_floats(w)), scratch(n * kernels->scratch_floats(w, w.B / n + 1));
  if (!packed.data() || !scratch.data()) return false;
  const auto& kernel = kernels->calls[call];
  in_parallel(frame, n, [&](long i) {
    for (long p = panels * i / n; p < panels * (i + 1) / n; p++) kernel.pack(w, packed.data(), p);
  });
  in_parallel(frame, n, [&](long i) {
    kernel.run(w, packed.data(), w.B * i / n, w.B * (i + 1) / n,
               scratch.data() + i * kernels->scratch_floats(w, w.B / n + 1));
  });
  return true;
}

struct Operands {
  const XLA_FFI_Buffers& all;
  int64_t i = 0;
  bool ok = true;

  const XLA_FFI_Buffer* next(int dtype) {
    if (i >= all.size) { ok = false; return nullptr; }
    auto* buffer = static_cast<const XLA_FFI_Buffer*>(all.buffers[i++]);
    if (buffer->dtype != dtype) ok = false;
    return buffer;
  }
  void* of(int dtype, std::vector<long> shape, bool optional) {
    const XLA_FFI_Buffer* buffer = next(dtype);
    if (!ok) return nullptr;
    if (optional && buffer->rank == 1 && buffer->dims[0] == 0) return nullptr;
    ok = buffer->rank == static_cast<int64_t>(shape.size());
    for (size_t d = 0; ok && d < shape.size(); d++) ok = buffer->dims[d] == shape[d];
    return buffer->data;
  }
  float* operator()(std::vector<long> shape, bool optional = false) {
    return static_cast<float*>(of(FFI_FLOAT32, std::move(shape), optional));
  }
  int32_t* ints(std::vector<long> shape) { return static_cast<int32_t*>(of(FFI_INT32, std::move(shape), false)); }
};

static XLA_FFI_Error* failure(const XLA_FFI_CallFrame* frame, const char* message) {
  XLA_FFI_Error_Create_Args args = {sizeof args, nullptr, message, FFI_INVALID_ARGUMENT};
  return frame->api->error_create(&args);
}

// Whether the call is a question for the metadata, which it answers.
static bool is_question(const XLA_FFI_CallFrame* frame) {
  if (!frame->extension_start || frame->extension_start->type != FFI_METADATA) return false;
  auto* data = reinterpret_cast<XLA_FFI_Metadata_Extension*>(frame->extension_start)->metadata;
  data->api_version.major_version = 0, data->api_version.minor_version = 1;
  data->traits = 0;
  if (data->struct_size >= sizeof *data) data->state_type_id = 0;
  return true;
}

template <Call CALL>
static XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  if (is_question(frame)) return nullptr;
  constexpr bool lstm = CALL == LSTM_FORWARD || CALL == LSTM_BACKWARD;
  constexpr bool forward = CALL == LSTM_FORWARD || CALL == GRU_FORWARD;
  if (frame->args.size < 2 || frame->attrs.size != 1) return failure(frame, "wrong number of operands");
  Window w = {};
  w.reverse = *static_cast<int64_t*>(static_cast<XLA_FFI_Scalar*>(frame->attrs.attrs[0])->value) != 0;
  w.G = lstm ? 4 : 3, w.num_states = lstm ? 2 : 1;
  auto* mask = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[0]);
  auto* weights = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[1]);
  if (mask->rank != 2 || weights->rank != 2) return failure(frame, "the mask and the weights must be matrices");
  long T = w.T = mask->dims[0], B = w.B = mask->dims[1], H = w.H = weights->dims[0], G = w.G, S = w.num_states;
  Operands in{frame->args}, out{frame->rets};
  w.mask = in({T, B}), w.W = in({H, G * H});
  if (!lstm) w.bias = in({H});
  if (forward) {
    w.projected = in({T, B, G * H});
    for (long k = 0; k < S; k++) w.state0[k] = in({B, H});
    for (long k = 0; k < S; k++) w.state[k] = out({T, B, H});
    w.stored[0] = out({T, B, H}, true), w.stored[1] = out({T, B, H}, true);
    w.stored[2] = out({T, B, (lstm ? 3 : 2) * H}, true), w.stored[3] = out({T, B, (lstm ? 1 : 3) * H}, true);
  } else {
    w.saved[0] = in({T, B, H}), w.saved[1] = in({T, B, H});
    w.saved[2] = in({T, B, (lstm ? 3 : 2) * H}), w.saved[3] = in({T, B, (lstm ? 1 : 3) * H});
    w.d_out = in({T, B, H}, true);
    for (long k = 0; k < S; k++) w.d_state[k] = in({T, B, H}, true);
    for (long k = 0; k < S; k++) w.d_last[k] = in({B, H});
    w.d_projected = out({T, B, G * H});
    if (!lstm) w.d_product = out({T, B, G * H});
    for (long k = 0; k < S; k++) w.d_trace[k] = out({T, B, H}, true);
    for (long k = 0; k < S; k++) w.d_first[k] = out({B, H});
  }
  if (!in.ok || !out.ok || in.i != frame->args.size || out.i != frame->rets.size)
    return failure(frame, "a window's operand has the wrong shape or type");
  if (T && B && H && !compute(frame, w, CALL)) return failure(frame, "no kernel for this processor, or no memory");
  return nullptr;
}

static XLA_FFI_Error* handle_likeliest(XLA_FFI_CallFrame* frame) {
  if (is_question(frame)) return nullptr;
  if (frame->args.size != 3 || frame->rets.size != 2) return failure(frame, "wrong number of operands");
  auto* scores = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[0]);
  auto* found = static_cast<XLA_FFI_Buffer*>(frame->rets.buffers[0]);
  if (scores->rank != 2 || found->rank != 2) return failure(frame, "the scores must be a matrix");
  avx2::Likeliest s = {scores->dims[0], scores->dims[1], found->dims[1]};
  Operands in{frame->args}, out{frame->rets};
  s.scores = in({s.rows, s.words}), s.bias = in({s.words}), s.banned = in({s.words});
  s.log_p = out({s.rows, s.count}), s.chosen = out.ints({s.rows, s.count});
  if (!in.ok || !out.ok || s.count > s.words) return failure(frame, "scores have the wrong shape or type");
  if (!find_kernels()) return failure(frame, "no kernel for this processor");
  constexpr long MIN_ROWS = 8;  // for a thread
  long threads = num_threads(frame), most = s.rows / MIN_ROWS;
  long n = most < 1 ? 1 : most < threads ? most : threads;
  if (s.count) in_parallel(frame, n, [&](long i) { avx2::likeliest(s, s.rows * i / n, s.rows * (i + 1) / n); });
  return nullptr;
}

static void* const HANDLERS[] = {
    reinterpret_cast<void*>(handle<LSTM_FORWARD>), reinterpret_cast<void*>(handle<LSTM_BACKWARD>),
    reinterpret_cast<void*>(handle<GRU_FORWARD>), reinterpret_cast<void*>(handle<GRU_BACKWARD>),
    reinterpret_cast<void*>(handle_likeliest)};
static const char* const NAMES[] = {"lstm_forward", "lstm_backward", "gru_forward", "gru_backward", "likeliest"};

static PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_window", "Custom calls for XLA: see engine/windows.py.", -1,
                             nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__window() {
  PyObject* module = PyModule_Create(&MODULE);
  if (!module) return nullptr;
  const Kernels* kernels = find_kernels();
  const char* found = kernels ? "avx2" : "";
  if (PyModule_AddStringConstant(module, "instructions", found)) return nullptr;
  for (int i = 0; i < 5; i++) {
    PyObject* capsule = PyCapsule_New(HANDLERS[i], nullptr, nullptr);
    if (!capsule || PyModule_AddObject(module, NAMES[i], capsule)) return nullptr;
  }
  return module;
}
