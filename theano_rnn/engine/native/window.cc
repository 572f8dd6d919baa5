// Custom calls of XLA on a CPU. A whole window of an LSTM or a GRU, all time steps of a batch, forward or backward, is
// one call; see engine/windows.py for what each call takes and returns. The weights are packed once for all steps, the
// rows of the batch are divided among XLA's own threads, and no thread waits for another between steps. Another call
// finds the likeliest words of each row of scores; see engine/likeliest.py. Two compute the loss of a softmax and its
// gradient; see engine/softmax.py. Another adds up the squares of a vector; see engine/squares.py. The last one
// multiplies matrices; see engine/products.py.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

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
#if __GNUC__ >= 11 && defined(__linux__)  // knows the instructions for tiles; the system must be asked for their use
#define HAS_BFLOAT16 1
#else
#define HAS_BFLOAT16 0
#endif

struct Window {  // arrays are (time, batch, ...) unless a shape is given; those that nobody reads are null
  long T, B, H, G, num_states;
  long terms;    // 1 or 3: products of bfloat16 numbers in the place of one product; 0: products of float32 numbers
  bool reverse;  // from the last step to the first
  const float *projected, *mask, *W, *bias;                  // (T, B, G H), (T, B), (H, G H), (H,)
  const float* state0[2];                                    // (B, H)
  float *state[2], *stored[4];                               // what a step stores for the gradient
  const float *saved[4], *d_out, *d_state[2], *d_last[2];    // the last (B, H)
  float *d_projected, *d_product, *d_trace[2], *d_first[2];  // the last (B, H)
};

struct Product {  // c (M, N) = a (M, K) b (K, N), each of the factors stored as it is or transposed
  long M, N, K;
  const float *a, *b;
  float* c;
  bool transposed[2];
  long panels_at_once;  // of 32 columns of c each
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
#include "vectors.h"
#include "cells.h"
#include "likeliest.h"
#include "softmax.h"
#include "squares.h"
#undef INLINE
#undef LANES
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
namespace avx512 {
#define LANES 16
#include "vectors.h"
#include "cells.h"
#include "matrices.h"
#if HAS_BFLOAT16
#pragma GCC push_options
#pragma GCC target("avx512bf16,amx-tile,amx-bf16")
#include "tiles.h"
#include "bfloat16.h"
#pragma GCC pop_options
#endif
#undef INLINE
#undef LANES
}  // namespace avx512
#pragma GCC pop_options

#include "calls.h"

#include "instructions.h"

static bool compute(const XLA_FFI_CallFrame* frame, const Window& w, Call call) {
  const Kernels* kernels = find_kernels(w.terms);
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

template <Call CALL>
static XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
  if (is_question(frame)) return nullptr;
  constexpr bool lstm = CALL == LSTM_FORWARD || CALL == LSTM_BACKWARD;
  constexpr bool forward = CALL == LSTM_FORWARD || CALL == GRU_FORWARD;
  if (frame->args.size < 2) return failure(frame, "wrong number of operands");
  Window w = {};
  w.reverse = attribute(frame, "is_reversed") != 0, w.terms = attribute(frame, "terms");
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
  if (!has_avx2()) return failure(frame, "no kernel for this processor");
  constexpr long MIN_ROWS = 8;  // for a thread
  long threads = num_threads(frame), most = s.rows / MIN_ROWS;
  long n = most < 1 ? 1 : most < threads ? most : threads;
  if (s.count) in_parallel(frame, n, [&](long i) { avx2::likeliest(s, s.rows * i / n, s.rows * (i + 1) / n); });
  return nullptr;
}

template <bool BACKWARD>
static XLA_FFI_Error* handle_softmax(XLA_FFI_CallFrame* frame) {
  if (is_question(frame)) return nullptr;
  if (frame->args.size != (BACKWARD ? 6 : 3) || frame->rets.size != 2) return failure(frame, "wrong number of operands");
  auto* scores = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[0]);
  if (scores->rank != 2) return failure(frame, "the scores must be a matrix");
  avx2::Softmax s = {scores->dims[0], scores->dims[1]};
  Operands in{frame->args}, out{frame->rets};
  s.scores = in({s.rows, s.words}), s.bias = in({s.words}), s.targets = in.ints({s.rows});
  if (BACKWARD) {
    s.log_normalizer = in({s.rows}), s.a = in({s.rows}), s.b = in({s.rows});
    s.d_scores = out({s.rows, s.words}), s.d_bias = out({s.words});
  } else {
    s.nll = out({s.rows}), s.log_normalizer = out({s.rows});
  }
  if (!in.ok || !out.ok) return failure(frame, "scores have the wrong shape or type");
  if (!has_avx2()) return failure(frame, "no kernel for this processor");
  const long n = avx2::row_groups(s);
  Scratch parts(BACKWARD ? n * s.words : 0);
  if (BACKWARD && !parts.data()) return failure(frame, "no memory");
  in_parallel(frame, n, [&](long i) {
    const long r0 = s.rows * i / n, r1 = s.rows * (i + 1) / n;
    if (BACKWARD) avx2::softmax_backward(s, r0, r1, parts.data() + i * s.words);
    else avx2::softmax_forward(s, r0, r1);
  });
  if (BACKWARD) avx2::sum_parts(parts.data(), n, s.words, s.d_bias);
  return nullptr;
}

static XLA_FFI_Error* handle_squares(XLA_FFI_CallFrame* frame) {
  if (is_question(frame)) return nullptr;
  if (frame->args.size != 1 || frame->rets.size != 1) return failure(frame, "wrong number of operands");
  auto* vector = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[0]);
  if (vector->rank != 1) return failure(frame, "the operand must be a vector");
  const long size = vector->dims[0], n = (size + avx2::PART - 1) / avx2::PART;
  Operands in{frame->args}, out{frame->rets};
  const float* x = in({size});
  float* sum = out({});
  if (!in.ok || !out.ok) return failure(frame, "the vector or its sum has the wrong shape or type");
  if (!has_avx2()) return failure(frame, "no kernel for this processor");
  std::vector<double> sums(n);
  if (n) in_parallel(frame, n, [&](long i) {
    const long rest = size - i * avx2::PART;
    sums[i] = avx2::sum_of_squares(x + i * avx2::PART, rest < avx2::PART ? rest : avx2::PART);
  });
  double total = 0;
  for (double each : sums) total += each;
  *sum = static_cast<float>(total);
  return nullptr;
}

static XLA_FFI_Error* handle_product(XLA_FFI_CallFrame* frame) {
  if (is_question(frame)) return nullptr;
  if (frame->args.size != 2 || frame->rets.size != 1) return failure(frame, "wrong number of operands");
  auto* a = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[0]);
  auto* b = static_cast<XLA_FFI_Buffer*>(frame->args.buffers[1]);
  if (a->rank != 2 || b->rank != 2) return failure(frame, "the factors must be matrices");
  Product p = {};
  p.transposed[0] = attribute(frame, "transposed_x") != 0, p.transposed[1] = attribute(frame, "transposed_y") != 0;
  p.M = a->dims[p.transposed[0]], p.K = a->dims[!p.transposed[0]], p.N = b->dims[!p.transposed[1]];
  Operands in{frame->args}, out{frame->rets};
  p.a = p.transposed[0] ? in({p.K, p.M}) : in({p.M, p.K}), p.b = p.transposed[1] ? in({p.N, p.K}) : in({p.K, p.N});
  p.c = out({p.M, p.N});
  if (!in.ok || !out.ok || !p.M || !p.N || !p.K) return failure(frame, "a factor has the wrong shape or type");
  const long terms = attribute(frame, "terms"), panels = (p.N + 31) / 32, threads = num_threads(frame);
  const avx512::MatrixKernels* found = find_matrix_kernels(terms);
  if (!found) return failure(frame, "no kernel for this processor");
  const avx512::MatrixKernels& kernels = *found;
  constexpr long MOST_PANELS = 4;
  const long share = panels / (2 * threads);
  p.panels_at_once = share < 1 ? 1 : share < MOST_PANELS ? share : MOST_PANELS;
  const long groups = (panels + p.panels_at_once - 1) / p.panels_at_once, rows = kernels.row_groups(p);
  const long workers = groups < threads ? groups : threads, row_workers = rows < threads ? rows : threads;
  const long each = (kernels.group_floats(p) + 15) / 16 * 16;
  Scratch rounded(kernels.left_floats(p) + 1), scratch(workers * each);
  if (!rounded.data() || !scratch.data()) return failure(frame, "no memory");
  if (rows) in_parallel(frame, row_workers, [&](long i) {
    const long end = rows * (i + 1) / row_workers;
    for (long r = rows * i / row_workers; r < end; r++) kernels.round_rows(p, rounded.data(), r);
  });
  std::atomic<long> next{0};
  in_parallel(frame, workers, [&](long i) {
    for (long g; (g = next.fetch_add(1)) < groups;) kernels.columns(p, rounded.data(), g, scratch.data() + i * each);
  });
  return nullptr;
}

static const struct { const char* name; XLA_FFI_Error* (*handler)(XLA_FFI_CallFrame*); } CALLS[] = {
    {"lstm_forward", handle<LSTM_FORWARD>}, {"lstm_backward", handle<LSTM_BACKWARD>},
    {"gru_forward", handle<GRU_FORWARD>},   {"gru_backward", handle<GRU_BACKWARD>},
    {"likeliest", handle_likeliest},        {"softmax_forward", handle_softmax<false>},
    {"softmax_backward", handle_softmax<true>}, {"sum_of_squares", handle_squares},
    {"product", handle_product}};

// The unit for bfloat16 of this processor: "amx", "avx512_bf16" or "".
static PyObject* bfloat16_unit(PyObject*, PyObject*) {
  return PyUnicode_FromString(unit() == AMX ? "amx" : unit() == DOT ? "avx512_bf16" : "");
}

static PyMethodDef METHODS[] = {{"bfloat16_unit", bfloat16_unit, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};

static PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_window", "Custom calls for XLA: see engine/windows.py.", -1,
                             METHODS, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__window() {
  PyObject* module = PyModule_Create(&MODULE);
  if (!module) return nullptr;
  const char* found = has_avx512() ? "avx512" : has_avx2() ? "avx2" : "";
  if (PyModule_AddStringConstant(module, "instructions", found)) return nullptr;
  for (const auto& call : CALLS) {
    PyObject* capsule = PyCapsule_New(reinterpret_cast<void*>(call.handler), nullptr, nullptr);
    if (!capsule || PyModule_AddObject(module, call.name, capsule)) return nullptr;
  }
  return module;
}
