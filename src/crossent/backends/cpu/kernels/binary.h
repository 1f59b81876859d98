// Binary cross-entropy from logits, element by element: the row (x, 0) with q = (positive, negative).
//
// Memory traffic an element: x and y read, the gradient written; the losses are summed in registers, or written.
#pragma once

#include "rows.h"

namespace CROSSENT_ISA {

using crossent::Binary;
using crossent::binary_block;

template <class S>
struct Pair {
  S positive, negative;
};

template <class S>
CROSSENT_INLINE S binary_loss(S x, Pair<S> q, S e) {
  const S low = x > 0 ? -x : x, other = x > 0 ? q.negative : q.positive;
  return (q.positive + q.negative) * log1p_of_unit(e) - (other == 0 ? S(0) : other * low);
}

template <class S>
CROSSENT_INLINE S binary_gradient(S x, Pair<S> q, S e) {
  return (q.negative * (x > 0 ? S(1) : e) - q.positive * (x > 0 ? e : S(1))) / (1 + e);
}

template <class S, class T, bool weighted, bool changed>
CROSSENT_LOOP S binary_range(const Binary& b, int64_t begin, int64_t end) {
  const T* x = static_cast<const T*>(b.x);
  const S *y = static_cast<const S*>(b.y), *weight = static_cast<const S*>(b.weight);
  const S *pos_weight = static_cast<const S*>(b.pos_weight), *upstream = static_cast<const S*>(b.upstream);
  T* gradient = static_cast<T*>(b.gradient);
  S* loss = static_cast<S*>(b.loss);
  const S smoothing = S(b.label_smoothing), cap = S(b.softcap), temperature = S(b.temperature), scale = S(b.scale);
  S total = 0;
  const auto element = [&](int64_t i, S factor, S positive_weight, S upstream_i) {
    const S raw = widen<S>(x[i]);
    S z = raw, slope = S(1);
    if (changed) {
      if (cap != 0) z = cap * tanh_of(raw / cap), slope = tanh_slope(raw / cap);
      z /= temperature, slope /= temperature;
    }
    const S label = smoothing == 0 ? y[i] : (1 - smoothing) * y[i] + smoothing / 2;
    const Pair<S> q = {weighted ? label * positive_weight * factor : label, weighted ? (1 - label) * factor : 1 - label};
    const S e = exp_of(z > 0 ? -z : z), value = binary_loss(z, q, e);
    if (gradient) round_to(gradient[i], binary_gradient(z, q, e) * (slope * scale * upstream_i));
    if (loss) loss[i] = value;
    return value;
  };
  if (weighted) {
    for (int64_t i = begin; i < end; ++i)
      total += element(i, weight ? weight[i] : S(1), pos_weight ? pos_weight[i % b.period] : S(1),
                       upstream ? upstream[i] : S(1));
  } else if (gradient && loss) {
#pragma omp simd reduction(+ : total)
    for (int64_t i = begin; i < end; ++i) total += element(i, S(1), S(1), S(1));
  } else if (gradient) {
#pragma omp simd reduction(+ : total)
    for (int64_t i = begin; i < end; ++i) total += element(i, S(1), S(1), S(1));
  } else {
#pragma omp simd reduction(+ : total)
    for (int64_t i = begin; i < end; ++i) total += element(i, S(1), S(1), S(1));
  }
  return total;
}

// Whether a target is below 0 or above 1; NaN is neither.
template <class S>
CROSSENT_LOOP bool outside_unit(const S* y, int64_t begin, int64_t end) {
  int wrong = 0;
#pragma omp simd reduction(+ : wrong)
  for (int64_t i = begin; i < end; ++i) wrong += (y[i] < 0 || y[i] > 1) ? 1 : 0;
  return wrong != 0;
}

template <class S, class T>
void binary_blocks(const Binary& b, int64_t begin, int64_t end) {
  const bool weighted = b.weight || b.pos_weight || b.upstream, changed = b.softcap != 0 || b.temperature != 1;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = i * binary_block, last = first + binary_block < b.count ? first + binary_block : b.count;
    const S total = weighted  ? binary_range<S, T, true, true>(b, first, last)
                    : changed ? binary_range<S, T, false, true>(b, first, last)
                              : binary_range<S, T, false, false>(b, first, last);
    if (b.partial) b.partial[i] = double(total);
    if (b.wrong) b.wrong[i] = outside_unit<S>(static_cast<const S*>(b.y), first, last);
  }
}

}  // namespace CROSSENT_ISA
