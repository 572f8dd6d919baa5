// The arithmetic of a window: all time steps of some rows (sequences) of a batch. Included once for each instruction
// set, after vectors.h.
// Each number is computed in the same order however the rows are divided, so results do not depend on threads.

// c (R, PANEL) = a (R, K) panel (K, PANEL), or added to c if ADD
template <bool ADD, int R>
static void block(const float* a, long lda, const float* panel, long K, float* c, long ldc) {
  V acc[R][2];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    acc[r][0] = ADD ? load(c + r * ldc) : V{};
    acc[r][1] = ADD ? load(c + r * ldc + LANES) : V{};
  }
  for (long k = 0; k < K; k++) {
    V w0 = load(panel + k * PANEL), w1 = load(panel + k * PANEL + LANES);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) { V x = all(a[r * lda + k]); acc[r][0] += x * w0; acc[r][1] += x * w1; }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) { store(c + r * ldc, acc[r][0]); store(c + r * ldc + LANES, acc[r][1]); }
}

template <bool ADD>
static void product(const float* a, long lda, const float* panel, long K, float* c, long ldc, long rows) {
  static void (*const blocks[])(const float*, long, const float*, long, float*, long) = {
      nullptr,       block<ADD, 1>, block<ADD, 2>, block<ADD, 3>, block<ADD, 4>,
      block<ADD, 5>, block<ADD, 6>,
#if LANES == 16
      block<ADD, 7>, block<ADD, 8>, block<ADD, 9>, block<ADD, 10>, block<ADD, 11>, block<ADD, 12>
#endif
  };
  long n = (rows + ROWS - 1) / ROWS;
  for (long i = 0; i < n; i++) {
    long r0 = rows * i / n, r1 = rows * (i + 1) / n;
    blocks[r1 - r0](a + r0 * lda, lda, panel, K, c + r0 * ldc, ldc);
  }
}

INLINE long panels(long H) { return (H + PANEL - 1) / PANEL; }
INLINE long stride(long n) { return (n + PANEL - 1) / PANEL * PANEL + 16; }  // of rows that share no set of the cache

// How the products with the recurrent matrix are computed; bfloat16.h has others. A panel of the packed matrix is PANEL
// units wide.
struct Float32 {
  static long padded(long rows) { return rows; }  // how many rows of results there must be room for
  static long panels_of(const Window& w) { return panels(w.H); }
  static long packed_floats(const Window& w) { return panels(w.H) * PANEL * w.G * w.H; }
  static long scratch_floats(const Window&, long) { return 0; }
  Float32(const Window&, long, float*) {}

  // Panel p of the forward pass: for each gate (H, PANEL), the columns of PANEL units.
  static void pack_forward(const Window& w, float* packed, long p) {
    long H = w.H, u = p * PANEL, n = H - u < PANEL ? H - u : PANEL;
    float* to = packed + p * PANEL * w.G * H;
    for (long g = 0; g < w.G; g++)
      for (long k = 0; k < H; k++, to += PANEL) {
        memcpy(to, w.W + (k * w.G + g) * H + u, 4 * n);
        for (long x = n; x < PANEL; x++) to[x] = 0;
      }
  }

  // Panel p of the backward pass: (G H, PANEL), the rows of PANEL units, transposed.
  static void pack_backward(const Window& w, float* packed, long p) {
    long K = w.G * w.H, u = p * PANEL;
    float* to = packed + p * PANEL * K;
    for (long k0 = 0; k0 < K; k0 += 16)
      for (long x = 0; x < PANEL; x++)
        for (long k = k0; k < K && k < k0 + 16; k++) to[k * PANEL + x] = u + x < w.H ? w.W[(u + x) * K + k] : 0;
  }

  // z (rows, G width) = h W
  void forward(const Window& w, const float* packed, long rows, const float* h, long ld, float* z, long width,
               long ldz) {
    for (long p = 0; p < panels(w.H); p++)
      for (long g = 0; g < w.G; g++)
        product<false>(h, ld, packed + (p * w.G + g) * PANEL * w.H, w.H, z + g * width + p * PANEL, ldz, rows);
  }

  // d (rows, H) += dz W^T
  void backward(const Window& w, const float* packed, long rows, const float* dz, long ldz, float* d, long ld) {
    for (long p = 0; p < panels(w.H); p++)
      for (long g = 0; g < w.G; g++)
        product<true>(dz + g * w.H, ldz, packed + (p * w.G + g) * PANEL * w.H, w.H, d + p * PANEL, ld, rows);
  }
};

template <class Products>
static long scratch_floats(const Window& w, long rows) {
  const long each = 2 * stride(w.H) + stride(w.G * panels(w.H) * PANEL);
  return Products::padded(rows) * each + Products::scratch_floats(w, rows);
}

// One vector of units, from unit u on, of one row of the batch at one step.
struct Place {
  long row;     // of arrays (time * batch, ...)
  long b;       // of arrays (batch, ...)
  long before;  // the row one step earlier, -1 at the first step
  long u;       // the first unit
  long width;   // how far apart the gates are in z
  bool real;    // not padding
};

struct Lstm {
  static constexpr long G = 4;

  // In two passes, so that the processor has independent work: z, the products, become the gates; then h, the state of
  // this row, changes.
  template <class N>
  INLINE void activate(const Window& w, const Place& at, N n, float* z) {
    const float* x = w.projected + at.row * 4 * w.H + at.u;
    for (long g = 0; g < 3; g++) store(z + g * at.width, sigmoid_(load(x + g * w.H, n) + load(z + g * at.width)));
    store(z + 3 * at.width, tanh_(load(x + 3 * w.H, n) + load(z + 3 * at.width)));
  }

  template <class N>
  INLINE void step(const Window& w, const Place& at, N n, const float* z, float* h) {
    long H = w.H, u = at.u;
    V i = load(z), f = load(z + at.width), o = load(z + 2 * at.width), g = load(z + 3 * at.width);
    V c_tm1 = load((at.before < 0 ? w.state0[1] + at.b * H : w.state[1] + at.before * H) + u, n);
    V c = f * c_tm1 + i * g, tanh_c = tanh_(c), out = o * tanh_c;
    if (w.stored[0]) store(w.stored[0] + at.row * H + u, out, n);
    if (w.stored[1]) store(w.stored[1] + at.row * H + u, tanh_c, n);
    if (w.stored[2]) {
      float* to = w.stored[2] + at.row * 3 * H + u;
      store(to, i, n), store(to + H, f, n), store(to + 2 * H, o, n);
    }
    if (w.stored[3]) store(w.stored[3] + at.row * H + u, g, n);
    V h_t = at.real ? out : load(h, n);
    store(w.state[0] + at.row * H + u, h_t, n);
    store(w.state[1] + at.row * H + u, at.real ? c : c_tm1, n);
    store(h, h_t, n);
  }

  // d: the gradients of h and c of this row; dz: the gradient of the products
  template <class N>
  INLINE void gradient(const Window& w, const Place& at, N n, float* const* d, float* dz) {
    long H = w.H, u = at.u, row = at.row;
    V zero = {}, c_tm1 = load(w.saved[0] + row * H + u, n), tanh_c = load(w.saved[1] + row * H + u, n);
    const float* gates = w.saved[2] + row * 3 * H + u;
    V i = load(gates, n), f = load(gates + H, n), o = load(gates + 2 * H, n), g = load(w.saved[3] + row * H + u, n);
    V dh_t = load(d[0] + u, n), dc_t = load(d[1] + u, n);
    V dh = at.real ? dh_t : zero;
    if (w.d_out) dh += load(w.d_out + row * H + u, n);
    V dc = dh * o * (1.f - tanh_c * tanh_c) + (at.real ? dc_t : zero);
    V di = dc * g * i * (1.f - i), df = dc * c_tm1 * f * (1.f - f);
    V do_ = dh * tanh_c * o * (1.f - o), dg = dc * i * (1.f - g * g);
    float* to = w.d_projected + row * 4 * H + u;
    store(to, di, n), store(to + H, df, n), store(to + 2 * H, do_, n), store(to + 3 * H, dg, n);
    store(dz + u, di, n), store(dz + H + u, df, n), store(dz + 2 * H + u, do_, n), store(dz + 3 * H + u, dg, n);
    V dh_tm1 = at.real ? zero : dh_t, dc_tm1 = dc * f + (at.real ? zero : dc_t);
    if (w.d_state[0]) dh_tm1 += load(w.d_state[0] + row * H + u, n);
    if (w.d_state[1]) dc_tm1 += load(w.d_state[1] + row * H + u, n);
    store(d[0] + u, dh_tm1, n), store(d[1] + u, dc_tm1, n);
  }
};

struct Gru {
  static constexpr long G = 3;

  template <class N>
  INLINE void activate(const Window& w, const Place& at, N n, float* z) {
    const float* x = w.projected + at.row * 3 * w.H + at.u;
    for (long g = 0; g < 2; g++) {
      V product = load(z + g * at.width);
      if (w.stored[3]) store(w.stored[3] + (at.row * 3 + g) * w.H + at.u, product, n);
      store(z + g * at.width, sigmoid_(load(x + g * w.H, n) + product));
    }
  }

  template <class N>
  INLINE void step(const Window& w, const Place& at, N n, const float* z_, float* h) {
    long H = w.H, u = at.u;
    V r = load(z_), z = load(z_ + at.width), h_n = load(z_ + 2 * at.width), h_tm1 = load(h, n);
    V c = tanh_(load(w.projected + at.row * 3 * H + 2 * H + u, n) + r * (h_n + load(w.bias + u, n)));
    V out = (1.f - z) * c + z * h_tm1;
    if (w.stored[0]) store(w.stored[0] + at.row * H + u, out, n);
    if (w.stored[1]) store(w.stored[1] + at.row * H + u, c, n);
    if (w.stored[2]) store(w.stored[2] + at.row * 2 * H + u, r, n), store(w.stored[2] + at.row * 2 * H + H + u, z, n);
    if (w.stored[3]) store(w.stored[3] + at.row * 3 * H + 2 * H + u, h_n, n);
    V h_t = at.real ? out : h_tm1;
    store(w.state[0] + at.row * H + u, h_t, n);
    store(h, h_t, n);
  }

  template <class N>
  INLINE void gradient(const Window& w, const Place& at, N n, float* const* d, float* dz_) {
    long H = w.H, u = at.u, row = at.row;
    V zero = {}, h_tm1 = load(w.saved[0] + row * H + u, n), c = load(w.saved[1] + row * H + u, n);
    V r = load(w.saved[2] + row * 2 * H + u, n), z = load(w.saved[2] + row * 2 * H + H + u, n);
    V h_n = load(w.saved[3] + row * 3 * H + 2 * H + u, n) + load(w.bias + u, n);
    V dh_t = load(d[0] + u, n), dh = at.real ? dh_t : zero;
    if (w.d_out) dh += load(w.d_out + row * H + u, n);
    V dc = dh * (1.f - z) * (1.f - c * c), dn = dc * r;
    V dr = dc * h_n * r * (1.f - r), dz = (dh * h_tm1 - dh * c) * z * (1.f - z);
    float *x = w.d_projected + row * 3 * H + u, *to = w.d_product + row * 3 * H + u;
    store(x, dr, n), store(x + H, dz, n), store(x + 2 * H, dc, n);
    store(to, dr, n), store(to + H, dz, n), store(to + 2 * H, dn, n);
    store(dz_ + u, dr, n), store(dz_ + H + u, dz, n), store(dz_ + 2 * H + u, dn, n);
    V dh_tm1 = dh * z + (at.real ? zero : dh_t);
    if (w.d_state[0]) dh_tm1 += load(w.d_state[0] + row * H + u, n);
    store(d[0] + u, dh_tm1, n);
  }
};

// All steps of rows b0 to b1. First all products of a step, then the rest row by row, as memory is laid out.
template <class Cell, class Products>
static void forward(const Window& w, const float* packed, long b0, long b1, float* scratch) {
  long H = w.H, rows = b1 - b0, room = Products::padded(rows);
  long ld = stride(H), width = panels(H) * PANEL, ldz = stride(Cell::G * width);
  float *h = scratch, *z = h + room * ld;
  Products products(w, rows, z + room * ldz);
  for (long r = 0; r < rows; r++) memcpy(h + r * ld, w.state0[0] + (b0 + r) * H, 4 * H);
  for (long s = 0; s < w.T; s++) {
    long t = w.reverse ? w.T - 1 - s : s, step = w.reverse ? 1 : -1;
    products.forward(w, packed, rows, h, ld, z, width, ldz);
    for (long r = 0; r < rows; r++) {
      long row = t * w.B + b0 + r;
      Place at = {row, b0 + r, s ? row + step * w.B : -1, 0, width, w.mask[row] != 0};
      float *gates = z + r * ldz, *h_row = h + r * ld;
      for (; H - at.u >= LANES; at.u += LANES) Cell::activate(w, at, All(), gates + at.u);
      if (at.u < H) Cell::activate(w, at, H - at.u, gates + at.u);
      for (at.u = 0; H - at.u >= LANES; at.u += LANES) Cell::step(w, at, All(), gates + at.u, h_row + at.u);
      if (at.u < H) Cell::step(w, at, H - at.u, gates + at.u, h_row + at.u);
    }
  }
}

template <class Cell, class Products>
static void backward(const Window& w, const float* packed, long b0, long b1, float* scratch) {
  long H = w.H, rows = b1 - b0, room = Products::padded(rows), ld = stride(H), ldz = stride(Cell::G * H);
  float *d[2] = {scratch, scratch + room * ld}, *dz = scratch + 2 * room * ld;
  Products products(w, rows, dz + room * ldz);
  memset(scratch, 0, 4 * 2 * room * ld);
  for (long k = 0; k < w.num_states; k++)
    for (long r = 0; r < rows; r++) memcpy(d[k] + r * ld, w.d_last[k] + (b0 + r) * H, 4 * H);
  for (long s = 0; s < w.T; s++) {
    long t = w.reverse ? w.T - 1 - s : s;
    for (long r = 0; r < rows; r++) {
      long row = t * w.B + b0 + r;
      float* of_row[2] = {d[0] + r * ld, d[1] + r * ld};
      for (long u = 0; u < H; u += LANES) {
        Place at = {row, b0 + r, -1, u, 0, w.mask[row] != 0};
        if (H - u >= LANES) Cell::gradient(w, at, All(), of_row, dz + r * ldz);
        else Cell::gradient(w, at, H - u, of_row, dz + r * ldz);
      }
    }
    products.backward(w, packed, rows, dz, ldz, d[0], ld);
    for (long k = 0; k < w.num_states; k++)
      for (long r = 0; r < rows && w.d_trace[k]; r++)
        memcpy(w.d_trace[k] + (t * w.B + b0 + r) * H, d[k] + r * ld, 4 * H);
  }
  for (long k = 0; k < w.num_states; k++)
    for (long r = 0; r < rows; r++) memcpy(w.d_first[k] + (b0 + r) * H, d[k] + r * ld, 4 * H);
}

template <class P>  // data, not a function: one that fills it with these instructions would fail where they are missing
constexpr Kernels kernels_of = {
    P::packed_floats, scratch_floats<P>, P::panels_of,
    {{P::pack_forward, forward<Lstm, P>}, {P::pack_backward, backward<Lstm, P>},
     {P::pack_forward, forward<Gru, P>}, {P::pack_backward, backward<Gru, P>}}};
