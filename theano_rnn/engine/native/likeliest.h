// The likeliest words of some rows of scores. Two passes over a row, which stays in the cache: the first finds the
// largest scores, the second sums the exponentials of all. Included as cells.h, and after it.

struct Likeliest {
  long rows, words, count;               // count <= words
  const float *scores, *bias, *banned;   // (rows, words), (words,), (words,); banned is 0 or -inf
  float* log_p;                          // (rows, count), decreasing
  int32_t* chosen;                       // (rows, count); of equal scores, the first word comes first
};

struct Largest {  // of the scores so far, in order
  float* values;
  int32_t* words;
  long count, n = 0;

  bool takes(float x) const { return n < count || x > values[count - 1]; }
  void insert(float x, long word) {
    long i = n < count ? n++ : count - 1;
    for (; i > 0 && values[i - 1] < x; i--) values[i] = values[i - 1], words[i] = words[i - 1];
    values[i] = x, words[i] = static_cast<int32_t>(word);
  }
};

static void likeliest(const Likeliest& s, long r0, long r1) {
  const float lowest = -__builtin_inff();
  const long whole = s.words / LANES * LANES;
  for (long r = r0; r < r1; r++) {
    const float* scores = s.scores + r * s.words;
    Largest largest = {s.log_p + r * s.count, s.chosen + r * s.count, s.count};
    V most = all(lowest), least = all(lowest);
    for (long w = 0; w < whole; w += LANES) {
      V x = load(scores + w) + load(s.bias + w), y = x + load(s.banned + w);
      most = x > most ? x : most;
      if (largest.n == s.count && !_mm256_movemask_ps((__m256)(y > least))) continue;
      for (long i = 0; i < LANES; i++)
        if (largest.takes(y[i])) largest.insert(y[i], w + i);
      if (largest.n == s.count) least = all(largest.values[s.count - 1]);
    }
    float top = lowest;
    for (long i = 0; i < LANES; i++) top = most[i] > top ? most[i] : top;
    for (long w = whole; w < s.words; w++) {
      float x = scores[w] + s.bias[w], y = x + s.banned[w];
      top = x > top ? x : top;
      if (largest.takes(y)) largest.insert(y, w);
    }
    V sums[4] = {}, shift = all(top);
    long w = 0;
    for (; w + 4 * LANES <= whole; w += 4 * LANES)
#pragma GCC unroll 4
      for (long k = 0; k < 4; k++) {
        long at = w + k * LANES;
        sums[k] += exp_(load(scores + at) + load(s.bias + at) - shift);
      }
    for (; w < whole; w += LANES) sums[0] += exp_(load(scores + w) + load(s.bias + w) - shift);
    double sum = 0;
    V rest = exp_(load(scores + w, s.words - w) + load(s.bias + w, s.words - w) - shift);
    for (long i = 0; i < s.words - w; i++) sum += rest[i];
    V lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (long i = 0; i < LANES; i++) sum += lanes[i];
    double normalizer = top + __builtin_log(sum);
    for (long k = 0; k < s.count; k++) largest.values[k] = static_cast<float>(largest.values[k] - normalizer);
  }
}
