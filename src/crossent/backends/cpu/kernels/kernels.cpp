// The kernels for one kind of processor: this file is compiled once for each, with CROSSENT_ISA naming it.
#include "binary.h"
#include "columns.h"
#include "short.h"
#include "softmax_gradient.h"

namespace CROSSENT_ISA {

template <class S, class T>
void run(const Rows& c, int64_t begin, int64_t end) {
  if (c.columns) return walk_columns<S, T>(c, begin, end);
  if (c.output == Output::loss && c.y.data && c.classes <= short_row && c.softcap == 0) {
    if (c.label_smoothing == 0) return walk_short<S, T, Base::none>(c, begin, end);
    if (!c.class_weight) return walk_short<S, T, Base::even>(c, begin, end);
  }
  if (c.output == Output::loss) return walk_losses<S, T>(c, begin, end);
  if (c.output == Output::moments) return walk_moments<S, T>(c, begin, end);
  walk_softmax<S, T>(c, begin, end);
}

void rows(const Rows& c, int64_t begin, int64_t end) {
  using crossent::Type;
  if (c.wide) {
    if (c.type == Type::float64) return run<double, double>(c, begin, end);
    if (c.type == Type::float32) return run<double, float>(c, begin, end);
    if (c.type == Type::bfloat16) return run<double, Bfloat16>(c, begin, end);
    return run<double, Float16>(c, begin, end);
  }
  if (c.type == Type::float32) return run<float, float>(c, begin, end);
  if (c.type == Type::bfloat16) return run<float, Bfloat16>(c, begin, end);
  run<float, Float16>(c, begin, end);
}

void binary(const Binary& b, int64_t begin, int64_t end) {
  using crossent::Type;
  if (b.wide) {
    if (b.type == Type::float64) return binary_blocks<double, double>(b, begin, end);
    if (b.type == Type::float32) return binary_blocks<double, float>(b, begin, end);
    if (b.type == Type::bfloat16) return binary_blocks<double, Bfloat16>(b, begin, end);
    return binary_blocks<double, Float16>(b, begin, end);
  }
  if (b.type == Type::float32) return binary_blocks<float, float>(b, begin, end);
  if (b.type == Type::bfloat16) return binary_blocks<float, Bfloat16>(b, begin, end);
  binary_blocks<float, Float16>(b, begin, end);
}

template <class S>
void elementary(const S* x, S* y, int64_t count, int which) {
  if (which == 0) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) y[i] = exp_of(x[i]);
  } else if (which == 1) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) y[i] = log1p_of(x[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) y[i] = tanh_of(x[i]);
  }
}

void exponential(const void* x, void* y, int64_t count, bool wide, int which) {
  if (wide) return elementary(static_cast<const double*>(x), static_cast<double*>(y), count, which);
  elementary(static_cast<const float*>(x), static_cast<float*>(y), count, which);
}

#define CROSSENT_TEXT(x) CROSSENT_WORD(x)
#define CROSSENT_WORD(x) #x

extern const crossent::Kernels kernels;
const crossent::Kernels kernels = {CROSSENT_TEXT(CROSSENT_ISA), rows, binary, exponential, softmax_gradient};

}  // namespace CROSSENT_ISA
