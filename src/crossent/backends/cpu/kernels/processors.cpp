// Which compilation of the kernels this processor runs.
#include <cstring>

#include "kernels.h"

namespace crossent_v2 { extern const crossent::Kernels kernels; }
#if defined(__x86_64__) || defined(_M_X64)
namespace crossent_v3 { extern const crossent::Kernels kernels; }
namespace crossent_v4 { extern const crossent::Kernels kernels; }
#endif

namespace crossent {

#if defined(__x86_64__) || defined(_M_X64)

static bool runs_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("f16c");
}
static bool runs_v4() {
  return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
}

const Kernels* kernels_for(const char* forced) {
  __builtin_cpu_init();
  if (!forced) return runs_v4() ? &crossent_v4::kernels : runs_v3() ? &crossent_v3::kernels : &crossent_v2::kernels;
  if (!std::strcmp(forced, "v2")) return &crossent_v2::kernels;
  if (!std::strcmp(forced, "v3")) return runs_v3() ? &crossent_v3::kernels : nullptr;
  if (!std::strcmp(forced, "v4")) return runs_v4() ? &crossent_v4::kernels : nullptr;
  return nullptr;
}

#else

const Kernels* kernels_for(const char* forced) {
  return !forced || !std::strcmp(forced, "v2") ? &crossent_v2::kernels : nullptr;
}

#endif

}  // namespace crossent
