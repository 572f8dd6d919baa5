// Tiles of bfloat16 numbers, and their products, which are added up in float32. Included after cells.h with LANES 16.
// With TERMS 1, a factor is rounded to bfloat16. With TERMS 3, a factor is the sum of two bfloat16 numbers, high and
// low, and high high + high low + low high stands for the product.
// The left factor is stored row by row, each filled up to a multiple of 32 numbers. The right one is stored in pairs of
// tiles of 32 x 16: the 32 numbers of a row of such a tile are 16 columns of two neighbouring rows of the matrix, as
// the processor's instructions take them. The tiles of the low numbers follow those of the high ones.

typedef uint16_t Half;
constexpr long DEPTH = 32;                // rows of the right factor in a tile
constexpr long TILE_SIZE = DEPTH * LANES; // numbers of a tile

INLINE long tiles(long K) { return (K + DEPTH - 1) / DEPTH; }
INLINE long row_stride(long K) { return (tiles(K) | 1) * DEPTH; }  // odd, so that rows share no set of the cache

INLINE __m512i halves(V a, V b) { return (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a); }
INLINE V floats(__m512i x, int half) {
  __m256i part = half ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x);
  return (V)_mm512_slli_epi32(_mm512_cvtepu16_epi32(part), 16);
}
INLINE __m512i rest(V a, V b, __m512i high) { return halves(a - floats(high, 0), b - floats(high, 1)); }
INLINE V load_up_to(const float* p, long n) {  // n numbers, at most 16; zeros for the others
  return n >= LANES ? load(p) : n <= 0 ? V{} : (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void store_up_to(float* p, V x, long n) {
  if (n > 0) _mm512_mask_storeu_ps(p, n >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1), (__m512)x);
}
INLINE __m512i in_pairs(__m512i x) {  // a b, 16 each, become a0 b0 a1 b1 ...
  alignas(64) static const uint16_t order[32] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                                 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(order), x);
}
INLINE void transpose(__m512i* r) {  // 16 x 16 pairs
  __m512i t[16];
  for (int i = 0; i < 8; i++)
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]),
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  for (int i = 0; i < 4; i++) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88), r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// A row of n numbers, filled up with zeros.
template <int TERMS>
INLINE void round_row(const float* x, long n, Half* high, Half* low) {
  for (long k = 0; k < n; k += DEPTH) {
    V a = load_up_to(x + k, n - k), b = load_up_to(x + k + LANES, n - k - LANES);
    __m512i h = halves(a, b);
    _mm512_storeu_si512(high + k, h);
    if (TERMS == 3) _mm512_storeu_si512(low + k, rest(a, b, h));
  }
}

// 16 x 16 pairs of neighbours along the rows of x: 16 rows of 32 numbers.
template <int TERMS>
INLINE void read_rows(const float* x, long ld, long rows, long columns, __m512i* high, __m512i* low) {
  for (int r = 0; r < 16; r++) {
    V a = r < rows ? load_up_to(x + r * ld, columns) : V{};
    V b = r < rows ? load_up_to(x + r * ld + LANES, columns - LANES) : V{};
    high[r] = halves(a, b);
    if (TERMS == 3) low[r] = rest(a, b, high[r]);
  }
}

// 16 x 16 pairs of neighbours along the columns of x: 16 times two rows of 16 numbers.
template <int TERMS>
INLINE void read_pairs(const float* x, long ld, long rows, long columns, __m512i* high, __m512i* low) {
  for (int j = 0; j < 16; j++) {
    V a = 2 * j < rows ? load_up_to(x + 2 * j * ld, columns) : V{};
    V b = 2 * j + 1 < rows ? load_up_to(x + (2 * j + 1) * ld, columns) : V{};
    __m512i h = halves(a, b);
    high[j] = in_pairs(h);
    if (TERMS == 3) low[j] = in_pairs(rest(a, b, h));
  }
}

// A tile of a right factor (rows, columns), which x holds as it is or transposed.
template <int TERMS>
static void pack_tile(const float* x, long ld, bool transposed, long rows, long columns, Half* high, Half* low) {
  __m512i h[16], l[16];
  if (transposed) {
    read_rows<TERMS>(x, ld, columns, rows, h, l);
    transpose(h);
    if (TERMS == 3) transpose(l);
  } else {
    read_pairs<TERMS>(x, ld, rows, columns, h, l);
  }
  for (int i = 0; i < 16; i++) {
    _mm512_storeu_si512(high + 32 * i, h[i]);
    if (TERMS == 3) _mm512_storeu_si512(low + 32 * i, l[i]);
  }
}

// A panel of 32 columns: for each tile along the rows, two tiles, and those of the low numbers.
template <int TERMS>
static void pack_panel(const float* x, long ld, bool transposed, long rows, long columns, Half* to) {
  for (long k = 0; k < rows; k += DEPTH)
    for (long c = 0; c < 2; c++) {
      Half* tile = to + (k / DEPTH * (TERMS == 3 ? 4 : 2) + c) * TILE_SIZE;
      const float* from = transposed ? x + c * LANES * ld + k : x + k * ld + c * LANES;
      pack_tile<TERMS>(from, ld, transposed, rows - k, columns - c * LANES, tile, tile + 2 * TILE_SIZE);
    }
}
INLINE long panel_size(long K, int terms) { return tiles(K) * (terms == 3 ? 4 : 2) * TILE_SIZE; }

// How the tiles are multiplied. c (rows, 32) = a (rows, K) panel (K, 32), or added to c; the low numbers of a are `low`
// further on. Up to `padded(rows)` rows of c are written.
struct Dot {  // by the instructions for pairs of AVX-512
  static constexpr long MOST = 12;
  static long padded(long rows) { return rows; }
  static void begin(long) {}
  static void end() {}

  template <int TERMS, int R>
  static void block(const Half* a, long lda, long low, const Half* b, long kt, float* c, long ldc, bool add) {
    __m512 acc[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
      for (int j = 0; j < 2; j++) acc[r][j] = add ? _mm512_loadu_ps(c + r * ldc + 16 * j) : _mm512_setzero_ps();
    for (long k = 0; k < kt; k++, a += DEPTH, b += (TERMS == 3 ? 4 : 2) * TILE_SIZE)
      for (long i = 0; i < 16; i++) {
        __m512bh high0 = at(b + 32 * i), high1 = at(b + TILE_SIZE + 32 * i);
        __m512bh low0 = TERMS == 3 ? at(b + 2 * TILE_SIZE + 32 * i) : high0;
        __m512bh low1 = TERMS == 3 ? at(b + 3 * TILE_SIZE + 32 * i) : high1;
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          __m512bh x = pair(a + r * lda + 2 * i);
          acc[r][0] = _mm512_dpbf16_ps(acc[r][0], x, high0), acc[r][1] = _mm512_dpbf16_ps(acc[r][1], x, high1);
          if (TERMS == 3) {
            acc[r][0] = _mm512_dpbf16_ps(acc[r][0], x, low0), acc[r][1] = _mm512_dpbf16_ps(acc[r][1], x, low1);
            x = pair(a + low + r * lda + 2 * i);
            acc[r][0] = _mm512_dpbf16_ps(acc[r][0], x, high0), acc[r][1] = _mm512_dpbf16_ps(acc[r][1], x, high1);
          }
        }
      }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
      for (int j = 0; j < 2; j++) _mm512_storeu_ps(c + r * ldc + 16 * j, acc[r][j]);
  }
  INLINE __m512bh at(const Half* p) { return (__m512bh)_mm512_loadu_si512(p); }
  INLINE __m512bh pair(const Half* p) {
    int32_t two;
    memcpy(&two, p, 4);
    return (__m512bh)_mm512_set1_epi32(two);
  }

  template <int TERMS>
  static void run(const Half* a, long lda, long low, const Half* b, long kt, float* c, long ldc, long rows, bool add) {
    static void (*const blocks[])(const Half*, long, long, const Half*, long, float*, long, bool) = {
        nullptr,          block<TERMS, 1>, block<TERMS, 2>, block<TERMS, 3>,  block<TERMS, 4>,
        block<TERMS, 5>,  block<TERMS, 6>, block<TERMS, 7>, block<TERMS, 8>,  block<TERMS, 9>,
        block<TERMS, 10>, block<TERMS, 11>, block<TERMS, 12>};
    const long n = (rows + MOST - 1) / MOST;
    for (long i = 0; i < n; i++) {
      const long r0 = rows * i / n, r1 = rows * (i + 1) / n;
      blocks[r1 - r0](a + r0 * lda, lda, low, b, kt, c + r0 * ldc, ldc, add);
    }
  }
};

struct Amx {  // by the unit for tiles
  struct Division { long blocks, tiles, rows; };  // a block has one or two tiles of so many rows
  static Division divide(long rows) {
    long n = (rows + 31) / 32, each = (rows + n - 1) / n;
    return {n, each > 16 ? 2 : 1, each > 16 ? (each + 1) / 2 : each};
  }
  static long padded(long rows) {
    Division d = divide(rows);
    return d.blocks * d.tiles * d.rows;
  }
  static void begin(long rows) {  // tiles 0 to 3 are sums, 4 and 5 of the left factor, 6 and 7 of the right one
    struct __attribute__((packed)) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } tiles;
    const uint8_t height = static_cast<uint8_t>(divide(rows).rows);
    for (int i = 0; i < 8; i++) tiles.bytes[i] = 64, tiles.rows[i] = i < 6 ? height : 16;
    asm volatile("" : : "r"(&tiles) : "memory");  // else the compiler takes all but eight bytes for unused
    _tile_loadconfig(&tiles);
  }
  static void end() { _tile_release(); }

  template <int TERMS, bool TWO>
  static void block(const Half* a, long lda, long low, long next, const Half* b, long kt, float* c, long ldc,
                    bool add) {
    const long width = 2 * lda, ld = 4 * ldc;  // in bytes
    float* c2 = c + next * ldc;
    if (add) {
      _tile_loadd(0, c, ld);
      _tile_loadd(1, c + 16, ld);
    } else {
      _tile_zero(0);
      _tile_zero(1);
    }
    if (TWO && add) {
      _tile_loadd(2, c2, ld);
      _tile_loadd(3, c2 + 16, ld);
    } else if (TWO) {
      _tile_zero(2);
      _tile_zero(3);
    }
    const long a2 = next * lda;
    for (long k = 0; k < kt; k++, a += DEPTH, b += (TERMS == 3 ? 4 : 2) * TILE_SIZE) {
      load_left<TWO>(a, a2, width);
      load_right(b);
      multiply<TWO>();
      if (TERMS == 3) {
        load_right(b + 2 * TILE_SIZE);
        multiply<TWO>();
        load_left<TWO>(a + low, a2, width);
        load_right(b);
        multiply<TWO>();
      }
    }
    _tile_stored(0, c, ld);
    _tile_stored(1, c + 16, ld);
    if (TWO) {
      _tile_stored(2, c2, ld);
      _tile_stored(3, c2 + 16, ld);
    }
  }
  template <bool TWO>
  INLINE void load_left(const Half* a, long next, long width) {
    _tile_loadd(4, a, width);
    if (TWO) {
      _tile_loadd(5, a + next, width);
    }
  }
  INLINE void load_right(const Half* b) {
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + TILE_SIZE, 64);
  }
  template <bool TWO>
  INLINE void multiply() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (TWO) {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }

  template <int TERMS>
  static void run(const Half* a, long lda, long low, const Half* b, long kt, float* c, long ldc, long rows, bool add) {
    const Division d = divide(rows);
    for (long i = 0; i < d.blocks; i++, a += d.tiles * d.rows * lda, c += d.tiles * d.rows * ldc)
      if (d.tiles == 2) block<TERMS, true>(a, lda, low, d.rows, b, kt, c, ldc, add);
      else block<TERMS, false>(a, lda, low, d.rows, b, kt, c, ldc, add);
  }
};
