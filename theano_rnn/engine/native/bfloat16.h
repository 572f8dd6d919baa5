// Products of matrices whose factors are bfloat16 numbers: those of a window, and single ones. Included after tiles.h.

// The products of a window, in the place of Float32.
template <class Unit, int TERMS>
struct Bfloat16 {
  static long padded(long rows) { return Unit::padded(rows); }
  static long panels_of(const Window& w) { return panels(w.H); }
  static long packed_floats(const Window& w) { return panels(w.H) * w.G * panel_size(w.H, TERMS) / 2; }
  static long left_size(const Window& w, long rows) { return padded(rows) * row_stride(w.G * tiles(w.H) * DEPTH); }
  static long scratch_floats(const Window& w, long rows) {
    return left_size(w, rows) * (TERMS == 3 ? 2 : 1) / 2 + LANES;
  }

  Bfloat16(const Window& w, long rows, float* scratch)
      : left(reinterpret_cast<Half*>(scratch)), low(left_size(w, rows)) {
    memset(scratch, 0, 4 * scratch_floats(w, rows));
    Unit::begin(rows);
  }
  ~Bfloat16() { Unit::end(); }

  static void pack_forward(const Window& w, float* packed, long p) {
    for (long g = 0; g < w.G; g++)
      pack_panel<TERMS>(w.W + g * w.H + p * PANEL, w.G * w.H, false, w.H, w.H - p * PANEL,
                        reinterpret_cast<Half*>(packed) + (p * w.G + g) * panel_size(w.H, TERMS));
  }
  static void pack_backward(const Window& w, float* packed, long p) {
    for (long g = 0; g < w.G; g++)
      pack_panel<TERMS>(w.W + p * PANEL * w.G * w.H + g * w.H, w.G * w.H, true, w.H, w.H - p * PANEL,
                        reinterpret_cast<Half*>(packed) + (p * w.G + g) * panel_size(w.H, TERMS));
  }

  void forward(const Window& w, const float* packed, long rows, const float* h, long ld, float* z, long width,
               long ldz) {
    const long lda = row_stride(w.H), size = panel_size(w.H, TERMS);
    for (long r = 0; r < rows; r++) round_row<TERMS>(h + r * ld, w.H, left + r * lda, left + low + r * lda);
    for (long p = 0; p < panels(w.H); p++)
      for (long g = 0; g < w.G; g++)
        Unit::template run<TERMS>(left, lda, low, reinterpret_cast<const Half*>(packed) + (p * w.G + g) * size,
                                  tiles(w.H), z + g * width + p * PANEL, ldz, rows, false);
  }
  void backward(const Window& w, const float* packed, long rows, const float* dz, long ldz, float* d, long ld) {
    const long gate = tiles(w.H) * DEPTH, lda = row_stride(w.G * gate), size = panel_size(w.H, TERMS);
    for (long r = 0; r < rows; r++)
      for (long g = 0; g < w.G; g++) {
        Half* to = left + r * lda + g * gate;
        round_row<TERMS>(dz + r * ldz + g * w.H, w.H, to, to + low);
      }
    for (long p = 0; p < panels(w.H); p++)
      Unit::template run<TERMS>(left, lda, low, reinterpret_cast<const Half*>(packed) + p * w.G * size,
                                w.G * tiles(w.H), d + p * PANEL, ld, rows, true);
  }

  Half* left;
  long low;
};

// A product of two matrices. First its left factor is rounded, `ROW_GROUP` rows at a time; then come groups of columns,
// each with its own memory.
template <class Unit, int TERMS>
struct Matrices {
  static constexpr long AT_ONCE = 20;  // tiles along the rows of the right factor, which stay in the cache
  static constexpr long ROW_GROUP = 16;

  static long row_groups(const Product& p) { return (p.M + ROW_GROUP - 1) / ROW_GROUP; }
  static long left_size(const Product& p) { return (row_groups(p) + 1) * ROW_GROUP * row_stride(p.K); }
  static long left_floats(const Product& p) { return left_size(p) * (TERMS == 3 ? 2 : 1) / 2; }
  static long group_floats(const Product& p) {
    return (panel_size(AT_ONCE * DEPTH, TERMS) * p.panels_at_once) / 2 + Unit::padded(p.M) * 32;
  }

  static void round_rows(const Product& p, float* scratch, long group) {
    const long lda = row_stride(p.K), m = group * ROW_GROUP, low = left_size(p);
    Half* left = reinterpret_cast<Half*>(scratch) + m * lda;
    if (!p.transposed[0]) {
      for (long r = 0; r < ROW_GROUP; r++) {
        if (m + r < p.M) round_row<TERMS>(p.a + (m + r) * p.K, p.K, left + r * lda, left + low + r * lda);
      }
      return;
    }
    __m512i h[16], l[16];
    for (long k = 0; k < p.K; k += DEPTH) {
      read_pairs<TERMS>(p.a + k * p.M + m, p.M, p.K - k, p.M - m, h, l);
      transpose(h);
      if (TERMS == 3) transpose(l);
      for (long r = 0; r < ROW_GROUP; r++) {
        _mm512_storeu_si512(left + r * lda + k, h[r]);
        if (TERMS == 3) _mm512_storeu_si512(left + low + r * lda + k, l[r]);
      }
    }
  }

  static void columns(const Product& p, const float* rounded, long group, float* scratch) {
    const Half* left = reinterpret_cast<const Half*>(rounded);
    const long lda = row_stride(p.K), low = left_size(p), kt = tiles(p.K), n = (kt + AT_ONCE - 1) / AT_ONCE;
    const long size = panel_size(AT_ONCE * DEPTH, TERMS), first = group * p.panels_at_once * PANEL;
    Half* packed = reinterpret_cast<Half*>(scratch);
    float* edge = scratch + size * p.panels_at_once / 2;
    const long most = 32;  // rows at once
    for (long i = 0; i < n; i++) {
      const long k0 = kt * i / n, k1 = kt * (i + 1) / n;
      for (long j = 0; j < p.panels_at_once && first + j * PANEL < p.N; j++) {
        const long c = first + j * PANEL;
        const float* from = p.transposed[1] ? p.b + c * p.K + k0 * DEPTH : p.b + k0 * DEPTH * p.N + c;
        const long rows = p.K - k0 * DEPTH < (k1 - k0) * DEPTH ? p.K - k0 * DEPTH : (k1 - k0) * DEPTH;
        pack_panel<TERMS>(from, p.transposed[1] ? p.K : p.N, p.transposed[1], rows, p.N - c, packed + j * size);
      }
      Unit::begin(p.M < most ? p.M : most);
      for (long r = 0; r < p.M; r += most) {
        const long rows = p.M - r < most ? p.M - r : most;
        for (long j = 0; j < p.panels_at_once && first + j * PANEL < p.N; j++) {
          const long c = first + j * PANEL;
          float* to = p.c + r * p.N + c;
          const Half* a = left + r * lda + k0 * DEPTH;
          if (rows == most && p.N - c >= PANEL) {
            Unit::template run<TERMS>(a, lda, low, packed + j * size, k1 - k0, to, p.N, rows, i > 0);
            continue;
          }
          const long at_edge = p.M < most ? p.M : most;
          Unit::template run<TERMS>(a, lda, low, packed + j * size, k1 - k0, edge, PANEL, at_edge, false);
          for (long y = 0; y < rows; y++)
            for (long x = 0; x < 32; x += LANES) {
              const long width = p.N - c - x;
              V sum = load(edge + y * PANEL + x);
              if (i) sum += load_up_to(to + y * p.N + x, width);
              store_up_to(to + y * p.N + x, sum, width);
            }
        }
      }
      Unit::end();
    }
  }
};
