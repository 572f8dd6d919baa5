// Vectors of floats, those of GCC, and functions of them. Included once for each instruction set, inside a namespace,
// with LANES defined: floats in a vector. What follows it in window.cc uses it.

typedef float V __attribute__((vector_size(4 * LANES)));
typedef float U __attribute__((vector_size(4 * LANES), aligned(4), may_alias));  // at any address
typedef int32_t I __attribute__((vector_size(4 * LANES)));
constexpr long PANEL = 2 * LANES;  // columns of a packed panel
constexpr int ROWS = LANES == 8 ? 6 : 12;  // of a block of accumulators, ROWS x PANEL: as many as registers can hold
#define INLINE static inline __attribute__((always_inline))

INLINE V load(const float* p) { return *(const U*)p; }
INLINE void store(float* p, V x) { *(U*)p = x; }
struct All {};  // of a vector's floats; otherwise, how many are there
INLINE V load(const float* p, All) { return load(p); }
INLINE void store(float* p, V x, All) { store(p, x); }
INLINE V load(const float* p, long n) {
  V x = {};
  memcpy(&x, p, 4 * n);
  return x;
}
INLINE void store(float* p, V x, long n) { memcpy(p, &x, 4 * n); }
INLINE V all(float x) { return x - V{}; }
INLINE V limited(V x, float low, float high) {  // what is not a number stays so, as the second operand
#if LANES == 8
  return (V)_mm256_min_ps((__m256)all(high), _mm256_max_ps((__m256)all(low), (__m256)x));
#else
  return (V)_mm512_min_ps((__m512)all(high), _mm512_max_ps((__m512)all(low), (__m512)x));
#endif
}
INLINE V exp_(V x) {  // Cephes: 2^n times a polynomial of the rest
  x = limited(x, -87.3f, 88.37f);
  const float magic = 12582912.f;  // adding it rounds
  V n = (x * 1.44269504f + magic) - magic;
  V r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + (r + 1.f);
  I e = (__builtin_convertvector(n, I) + 127) << 23;
  return p * (V)e;
}
INLINE V sigmoid_(V x) { return 1.f / (1.f + exp_(-x)); }
INLINE V tanh_(V x) {  // a rational approximation, as Eigen's
  x = limited(x, -7.905f, 7.905f);
  V s = x * x;
  V p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
  p = p * s + -8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  V q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  return x * p / q;
}
