// The kernels for one kind of processor: this file is compiled once for each, with CROSSENT_ISA naming it.
#include "binary.h"
#include "losses.h"
#include "softmax.h"
#include "columns.h"
#include "softmax_gradient.h"

namespace CROSSENT_ISA {

template <class S, class T, bool plain>
void run_plain(const Rows& c, int64_t begin, int64_t end) {
  if (c.columns) return walk_columns<S, T, plain>(c, begin, end);
  if (c.output == Output::loss) return losses<S, T, plain>(c, begin, end);
  softmax_and_moments<S, T, plain>(c, begin, end);
}

template <class S, class T>
void run(const Rows& c, int64_t begin, int64_t end) {
  if (changes(c)) return run_plain<S, T, false>(c, begin, end);
  run_plain<S, T, true>(c, begin, end);
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

Doubles tanh_of(Doubles x) { return tanh_in_two(x, Doubles{}).value; }
Floats tanh_of(Floats x) {
  Doubles low, high;
  halves(x, low, high);
  return joined(tanh_for_floats(low), tanh_for_floats(high));
}

// Of vectors, as the kernels compute them.
template <class S>
void elementary(const S* x, S* y, int64_t count, int which) {
  for (int64_t i = 0; i < count; i += lanes<S>) {
    const int64_t n = count - i < lanes<S> ? count - i : lanes<S>;
    const Vector<S> z = read_some<S>(x + i, n, S(0));
    write_some<S>(y + i, which == 0 ? exp_of(z) : which == 1 ? log1p_of(z) : which == 2 ? tanh_of(z) : log1p_of_unit(z), n);
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
