// The sum of the squares of a vector, in blocks whose sums are added in double precision. Included as cells.h, and after
// it. A vector is divided into parts that depend on its size alone, so the result does not depend on threads.

constexpr long BLOCK = 4096, PART = 32 * BLOCK;  // numbers; each part is added up by one thread

static double sum_of_squares(const float* x, long size) {
  double sum = 0;
  for (; size > 0; x += BLOCK, size -= BLOCK) {
    const long n = size < BLOCK ? size : BLOCK, whole = n / (4 * LANES) * (4 * LANES);
    V sums[4] = {};
    for (long i = 0; i < whole; i += 4 * LANES)
#pragma GCC unroll 4
      for (long k = 0; k < 4; k++) sums[k] += load(x + i + k * LANES) * load(x + i + k * LANES);
    for (long i = whole; i < n; i += LANES) {
      V rest = load(x + i, n - i < LANES ? n - i : LANES);
      sums[0] += rest * rest;
    }
    V lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (long i = 0; i < LANES; i++) sum += lanes[i];
  }
  return sum;
}
