// Which instructions this processor has, and the kernels that use them. Included after the kernels.

// Whether the kernels may use these instructions and those before them; all, unless the environment variable
// THEANO_RNN_KERNELS names the newest that are allowed.
static bool is_allowed(const char* instructions) {
  static const char* const order[] = {"avx2", "avx512", "avx512_bf16", "amx"};
  const char* most = std::getenv("THEANO_RNN_KERNELS");
  int asked = -1, limit = 3;
  for (int i = 0; i < 4; i++) {
    if (!std::strcmp(order[i], instructions)) asked = i;
    if (most && !std::strcmp(order[i], most)) limit = i;
  }
  return asked <= limit;
}

static bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512() {
  static const bool allowed = is_allowed("avx512");
  return allowed && has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

enum Unit { NO_UNIT, DOT, AMX };  // for bfloat16

static Unit find_unit() {
#if HAS_BFLOAT16
  unsigned a, b, c, d;
  if (!has_avx512() || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return NO_UNIT;
  if (!is_allowed("avx512_bf16")) return NO_UNIT;
  constexpr unsigned AMX_BF16 = 1u << 22, AMX_TILE = 1u << 24;
  constexpr long ASK_FOR_STATE = 0x1023, TILE_DATA = 18;  // Linux: ARCH_REQ_XCOMP_PERM
  const bool amx = is_allowed("amx") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16) && (d & AMX_TILE);
  return amx && syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0 ? AMX : DOT;
#else
  return NO_UNIT;
#endif
}

static Unit unit() {  // asks the system for the use of tiles when bfloat16 is wanted for the first time
  static const Unit found = find_unit();
  return found;
}

static const Kernels* find_kernels(long terms) {
  if (terms == 0)
    return has_avx512() ? &avx512::kernels_of<avx512::Float32> : has_avx2() ? &avx2::kernels_of<avx2::Float32> : nullptr;
#if HAS_BFLOAT16
  using namespace avx512;
  static constexpr const Kernels* all[2][2] = {{&kernels_of<Bfloat16<Dot, 1>>, &kernels_of<Bfloat16<Dot, 3>>},
                                               {&kernels_of<Bfloat16<Amx, 1>>, &kernels_of<Bfloat16<Amx, 3>>}};
  if (unit() != NO_UNIT && (terms == 1 || terms == 3)) return all[unit() == AMX][terms == 3];
#endif
  return nullptr;
}

static const avx512::MatrixKernels* find_matrix_kernels(long terms) {
  using namespace avx512;
  if (terms == 0) return has_avx512() ? &matrix_kernels_of<Matrices32> : nullptr;
#if HAS_BFLOAT16
  static constexpr const MatrixKernels* all[2][2] = {
      {&matrix_kernels_of<Matrices<Dot, 1>>, &matrix_kernels_of<Matrices<Dot, 3>>},
      {&matrix_kernels_of<Matrices<Amx, 1>>, &matrix_kernels_of<Matrices<Amx, 3>>}};
  if (unit() != NO_UNIT && (terms == 1 || terms == 3)) return all[unit() == AMX][terms == 3];
#endif
  return nullptr;
}
