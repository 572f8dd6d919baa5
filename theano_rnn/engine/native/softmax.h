// The loss of a softmax, -log softmax(scores + bias)[target] for each row, and its gradient: the scores are read once
// from memory for each. Included as cells.h, and after it. Rows are divided into a number of groups that depends on the
// shape alone, so results do not depend on threads.

struct Softmax {
  long rows, words;
  const float *scores, *bias;            // (rows, words), (words,)
  const int32_t* targets;                // (rows,); the loss of a target that is no word is nan
  float *nll, *log_normalizer;           // (rows,)
  const float *a, *b;                    // (rows,)
  float *d_scores, *d_bias;              // a softmax(scores + bias) - b onehot(target); its sum over the rows
};

constexpr long ROWS_IN_GROUP = 8, MOST_GROUPS = 16;
constexpr long TILE = 1024;  // words whose sums over rows stay in the nearest cache

static long row_groups(const Softmax& s) {
  long n = s.rows / ROWS_IN_GROUP;
  return n < 1 ? 1 : n < MOST_GROUPS ? n : MOST_GROUPS;
}

INLINE V exp_or_0(V x) { return x < -87.3f ? V{} : exp_(x); }  // nan stays nan

INLINE bool is_word(const Softmax& s, long row) { return s.targets[row] >= 0 && s.targets[row] < s.words; }

static void softmax_forward(const Softmax& s, long r0, long r1) {
  const long V_ = s.words, whole = V_ / (4 * LANES) * (4 * LANES);
  for (long r = r0; r < r1; r++) {
    const float* x = s.scores + r * V_;
    V most[4] = {all(-__builtin_inff()), all(-__builtin_inff()), all(-__builtin_inff()), all(-__builtin_inff())};
    for (long w = 0; w < whole; w += 4 * LANES)
#pragma GCC unroll 4
      for (long k = 0; k < 4; k++) {
        V y = load(x + w + k * LANES) + load(s.bias + w + k * LANES);
        most[k] = y > most[k] ? y : most[k];
      }
    float top = -__builtin_inff();
    for (long k = 0; k < 4; k++)
      for (long i = 0; i < LANES; i++) top = most[k][i] > top ? most[k][i] : top;
    for (long w = whole; w < V_; w++) top = x[w] + s.bias[w] > top ? x[w] + s.bias[w] : top;
    V sums[4] = {}, shift = all(top);
    for (long w = 0; w < whole; w += 4 * LANES)
#pragma GCC unroll 4
      for (long k = 0; k < 4; k++)
        sums[k] += exp_or_0(load(x + w + k * LANES) + load(s.bias + w + k * LANES) - shift);
    double sum = 0;
    for (long w = whole; w < V_; w += LANES) {
      long n = V_ - w < LANES ? V_ - w : LANES;
      V rest = exp_or_0(load(x + w, n) + load(s.bias + w, n) - shift);
      for (long i = 0; i < n; i++) sum += rest[i];
    }
    V lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (long i = 0; i < LANES; i++) sum += lanes[i];
    double normalizer = top + __builtin_log(sum);
    long y = s.targets[r];
    s.log_normalizer[r] = static_cast<float>(normalizer);
    s.nll[r] = is_word(s, r) ? static_cast<float>(normalizer - (x[y] + s.bias[y])) : __builtin_nanf("");
  }
}

// part (words,) becomes the sum of these rows
static void softmax_backward(const Softmax& s, long r0, long r1, float* part) {
  memset(part, 0, 4 * s.words);
  for (long w0 = 0; w0 < s.words; w0 += TILE) {
    const long w1 = s.words - w0 < TILE ? s.words : w0 + TILE, whole = w0 + (w1 - w0) / LANES * LANES;
    for (long r = r0; r < r1; r++) {
      const float* x = s.scores + r * s.words;
      float* d = s.d_scores + r * s.words;
      if (s.a[r] == 0) {
        memset(d + w0, 0, 4 * (w1 - w0));
        continue;
      }
      V shift = all(s.log_normalizer[r]), a = all(s.a[r]);
      for (long w = w0; w < whole; w += LANES) {
        V p = exp_or_0(load(x + w) + load(s.bias + w) - shift) * a;
        store(d + w, p);
        store(part + w, load(part + w) + p);
      }
      if (whole < w1) {
        V p = exp_or_0(load(x + whole, w1 - whole) + load(s.bias + whole, w1 - whole) - shift) * a;
        store(d + whole, p, w1 - whole);
        store(part + whole, load(part + whole, w1 - whole) + p, w1 - whole);
      }
    }
  }
  for (long r = r0; r < r1; r++)
    if (is_word(s, r)) s.d_scores[r * s.words + s.targets[r]] -= s.b[r], part[s.targets[r]] -= s.b[r];
}

static void sum_parts(const float* parts, long n, long words, float* sum) {
  memcpy(sum, parts, 4 * words);
  for (long i = 1; i < n; i++)
    for (long w = 0; w < words; w++) sum[w] += parts[i * words + w];
}
