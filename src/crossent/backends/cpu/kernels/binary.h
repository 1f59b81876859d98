// Binary cross-entropy from logits, element by element: the row (x, 0) with q = (positive, negative).
//
// Memory traffic an element: x and y read, the gradient written; the losses are summed in registers, or written.
#pragma once

#include "transform.h"

namespace CROSSENT_ISA {

using crossent::Binary;
using crossent::binary_block;

// exp(low) and exp(low) − 1 of one reduction, for low ≤ 0; rest is what a rounding of low left out.
template <class V>
struct Exponential {
  V e, less_one;
};
template <class V>
CROSSENT_INLINE Exponential<V> exponential_of(V low, V rest) {
  using F = Format<V>;
  const V held = low < F::vanish ? V{} + F::vanish : low;
  Reduced<V> p = reduce(held, F::round + F::lift + F::bias);
  p.low = p.low - rest;
  const V expm1 = expm1_of_rest(p), lifted = bits_of<V>(p.word << F::fraction), scale = lifted * (1 / F::lifted_one);
  const V e = (1 + expm1) * lifted * (1 / F::lifted_one);
  return {low < F::vanish ? V{} : e, scale * expm1 + (scale - 1)};
}

// Masses of the two sides; `apart` is negative − positive, of one rounding where nothing is weighed.
template <class V>
struct Masses {
  V positive, negative, apart;
};
template <class V>
struct Sided {
  V loss, gradient;
};

// With e = exp(−|z|): loss = (positive + negative)·log(1 + e) + other·|z| and, by z, ±(other − same·e)/(1 + e), where near
// z = 0 the difference is taken as (other − same) − same·(e − 1).
template <class V>
CROSSENT_INLINE Sided<V> sided(V z, V rest, const Masses<V>& q) {
  const V zero = {};
  const auto up = z > 0;
  const V low = up ? -z : z, other = up ? q.negative : q.positive, same = up ? q.positive : q.negative;
  const Exponential<V> x = exponential_of(low, up ? -rest : rest);
  const V near = (up ? q.apart : -q.apart) - same * x.less_one, far = other - same * x.e;
  const V difference = (x.e > Format<V>::half ? near : far) / (1 + x.e);
  const V length = (q.positive + q.negative) * log1p_of_unit(x.e);
  return {length - (other == 0 ? zero : other * low), up ? difference : -difference};
}

// The elements of a block, in vectors. `weighted`: with weights or a cotangent of each; `apart`: z is given in two parts.
template <class S, class T, bool weighted, bool apart>
CROSSENT_LOOP double binary_range(const Binary& b, int64_t begin, int64_t end, const S* whole, const S* rest, const S* slopes) {
  using V = Vector<S>;
  const T* x = static_cast<const T*>(b.x);
  const S *y = static_cast<const S*>(b.y), *weight = static_cast<const S*>(b.weight);
  const S *pos_weight = static_cast<const S*>(b.pos_weight), *upstream = static_cast<const S*>(b.upstream);
  T* gradient = static_cast<T*>(b.gradient);
  S* loss = static_cast<S*>(b.loss);
  const S smoothing = S(b.label_smoothing), keep = S(1 - b.label_smoothing), half = smoothing / 2;
  const V scale = all(S(b.scale / b.temperature));
  Total<S> total;
  V sums[2] = {};
  // n numbers from i on, as many as a vector has or fewer
  const auto part = [&](const S* from, int64_t i, int64_t n) { return n == lanes<S> ? load(from + i) : read_some<S>(from + i, n, S(0)); };
  const auto positive_weight = [&](int64_t i, int64_t n) {
    if (!pos_weight) return all(S(1));
    if (b.period == 1) return all(pos_weight[0]);
    S numbers[lanes<S>] = {};
    for (int64_t j = 0; j < n; ++j) numbers[j] = pos_weight[(i + j) % b.period];
    return load(numbers);
  };
  const auto vector = [&](int64_t i, int64_t n, V& sum) {
    const V labels = part(y, i, n);
    Masses<V> q = {labels, 1 - labels, 1 - 2 * labels};
    if (smoothing != 0) q = {keep * labels + half, keep * (1 - labels) + half, keep * (1 - 2 * labels)};
    if (weighted) {
      const V factor = weight ? part(weight, i, n) : all(S(1));
      q.positive = q.positive * positive_weight(i, n) * factor, q.negative = q.negative * factor;
      q.apart = pos_weight ? q.negative - q.positive : q.apart * factor;
    }
    const V z = apart ? part(whole, i - begin, n) : n == lanes<S> ? read<S>(x + i) : read_some<S>(x + i, n, S(0));
    Sided<V> found = sided(z, apart ? part(rest, i - begin, n) : V{}, q);
    if (gradient) {
      V g = found.gradient * scale;
      if (apart) g = g * part(slopes, i - begin, n);
      if (weighted && upstream) g = g * part(upstream, i, n);
      if (n == lanes<S>) write<S>(gradient + i, g);
      else write_some<S>(gradient + i, g, n);
    }
    if (n < lanes<S>) found.loss = first_lanes<S>(n) ? found.loss : V{};
    sum += found.loss;
    if (loss && n == lanes<S>) store(loss + i, found.loss);
    if (loss && n < lanes<S>) write_some<S>(loss + i, found.loss, n);
  };
  int64_t i = begin;
  while (i + 2 * lanes<S> <= end) {
    const int64_t whole_part = (end - i) / (2 * lanes<S>) * (2 * lanes<S>);
    const int64_t stop = i + (whole_part < chunk * lanes<S> ? whole_part : chunk * lanes<S>);
    for (; i < stop; i += 2 * lanes<S>) vector(i, lanes<S>, sums[0]), vector(i + lanes<S>, lanes<S>, sums[1]);
    total.add(sums[0] + sums[1]);
    sums[0] = sums[1] = V{};
  }
  for (; i < end; i += lanes<S>) vector(i, end - i < lanes<S> ? end - i : lanes<S>, sums[0]);
  total.add(sums[0]);
  return total.value();
}

// Whether a target is below 0 or above 1; NaN is neither.
template <class S>
CROSSENT_LOOP bool outside_unit(const S* y, int64_t begin, int64_t end) {
  int wrong = 0;
#pragma omp simd reduction(+ : wrong)
  for (int64_t i = begin; i < end; ++i) wrong += (y[i] < 0 || y[i] > 1) ? 1 : 0;
  return wrong != 0;
}

template <class S, class T, bool apart>
CROSSENT_LOOP double binary_part(const Binary& b, int64_t begin, int64_t end) {
  static thread_local Scratch memory;
  S *whole = nullptr, *rest = nullptr, *slopes = nullptr;
  if (apart) {
    whole = memory.reserve<S>(3 * binary_block), rest = whole + binary_block, slopes = rest + binary_block;
    const T* x = static_cast<const T*>(b.x) + begin;
    changed_block<S, T>(b, x, end - begin, 0.0, whole, rest);
    slopes_of_block<S, T>(b, x, end - begin, slopes);
  }
  if (b.weight || b.pos_weight || b.upstream) return binary_range<S, T, true, apart>(b, begin, end, whole, rest, slopes);
  return binary_range<S, T, false, apart>(b, begin, end, whole, rest, slopes);
}

template <class S, class T>
void binary_blocks(const Binary& b, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = i * binary_block, last = first + binary_block < b.count ? first + binary_block : b.count;
    const double total = changes(b) ? binary_part<S, T, true>(b, first, last) : binary_part<S, T, false>(b, first, last);
    if (b.partial) b.partial[i] = total;
    if (b.wrong) b.wrong[i] = outside_unit<S>(static_cast<const S*>(b.y), first, last);
  }
}

}  // namespace CROSSENT_ISA
