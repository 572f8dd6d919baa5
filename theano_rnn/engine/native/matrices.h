// A product of two float32 matrices. Included after cells.h. First its left factor is copied row by row, if it is given
// transposed; then come groups of columns, each with its own memory for a packed part of the right factor.

struct Matrices32 {
  static constexpr long AT_ONCE = 384;  // rows of the right factor, of which PANEL columns stay in the nearest caches
  static constexpr long ROW_GROUP = 16, MOST_ROWS = 48;

  static long row_groups(const Product& p) { return p.transposed[0] ? (p.M + ROW_GROUP - 1) / ROW_GROUP : 0; }
  static long left_floats(const Product& p) { return row_groups(p) * ROW_GROUP * stride(p.K); }
  static long group_floats(const Product& p) { return AT_ONCE * PANEL * p.panels_at_once + MOST_ROWS * PANEL; }

  static void round_rows(const Product& p, float* left, long group) {
    const long ld = stride(p.K), m0 = group * ROW_GROUP, m1 = p.M - m0 < ROW_GROUP ? p.M : m0 + ROW_GROUP;
    for (long k = 0; k < p.K; k++)
      for (long m = m0; m < m1; m++) left[m * ld + k] = p.a[k * p.M + m];
  }

  static void pack_panel(const Product& p, long k0, long k1, long column, float* to) {
    const long n = p.N - column < PANEL ? p.N - column : PANEL;
    if (!p.transposed[1]) {
      for (long k = k0; k < k1; k++, to += PANEL) {
        memcpy(to, p.b + k * p.N + column, 4 * n);
        for (long x = n; x < PANEL; x++) to[x] = 0;
      }
      return;
    }
    for (long k = k0; k < k1; k += 16)
      for (long x = 0; x < PANEL; x++)
        for (long i = k; i < k + 16 && i < k1; i++) to[(i - k0) * PANEL + x] = x < n ? p.b[(column + x) * p.K + i] : 0;
  }

  static void columns(const Product& p, const float* copied, long group, float* scratch) {
    const float* left = p.transposed[0] ? copied : p.a;
    const long ld = p.transposed[0] ? stride(p.K) : p.K, n = (p.K + AT_ONCE - 1) / AT_ONCE;
    const long first = group * p.panels_at_once * PANEL;
    float* edge = scratch + AT_ONCE * PANEL * p.panels_at_once;
    for (long i = 0; i < n; i++) {
      const long k0 = p.K * i / n, k1 = p.K * (i + 1) / n;
      for (long j = 0; j < p.panels_at_once && first + j * PANEL < p.N; j++)
        pack_panel(p, k0, k1, first + j * PANEL, scratch + j * AT_ONCE * PANEL);
      for (long r = 0; r < p.M; r += MOST_ROWS) {
        const long rows = p.M - r < MOST_ROWS ? p.M - r : MOST_ROWS;
        for (long j = 0; j < p.panels_at_once && first + j * PANEL < p.N; j++) {
          const long column = first + j * PANEL, width = p.N - column;
          const float *a = left + r * ld + k0, *panel = scratch + j * AT_ONCE * PANEL;
          float* to = p.c + r * p.N + column;
          if (width >= PANEL) {
            if (i) product<true>(a, ld, panel, k1 - k0, to, p.N, rows);
            else product<false>(a, ld, panel, k1 - k0, to, p.N, rows);
            continue;
          }
          product<false>(a, ld, panel, k1 - k0, edge, PANEL, rows);
          for (long y = 0; y < rows; y++)
            for (long x = 0; x < width; x++) to[y * p.N + x] = edge[y * PANEL + x] + (i ? to[y * p.N + x] : 0.f);
        }
      }
    }
  }
};

struct MatrixKernels {  // for one way to multiply
  long (*row_groups)(const Product&), (*left_floats)(const Product&), (*group_floats)(const Product&);
  void (*round_rows)(const Product&, float* rounded, long group);
  void (*columns)(const Product&, const float* rounded, long group, float* scratch);
};

template <class M>  // data, see kernels_of
constexpr MatrixKernels matrix_kernels_of = {M::row_groups, M::left_floats, M::group_floats, M::round_rows, M::columns};
