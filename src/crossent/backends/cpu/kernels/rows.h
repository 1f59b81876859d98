// Rows whose classes are contiguous, one after the other: one read of the logits and one write of the gradient.
//
// First pass over a block of classes, in L1: its maximum, then e = exp(z − maximum), lifted, into memory that stays in L2
// (the gradient's own where it has the dtype of the sums), and its sums. Blocks are merged as the definition says. Second pass: each block's e times its factor
// (scale·w/(1 + r)·exp(its maximum − m)), less q. One exponential an element.
// Memory traffic an element: size of x read, size of x written; loss alone: size of x read.
#pragma once

#include <type_traits>

#include "kernels.h"
#include "numbers.h"
#include "scratch.h"

namespace CROSSENT_ISA {

using crossent::Array;
using crossent::Output;
using crossent::Rows;

constexpr int64_t block = 2048;
constexpr int64_t lanes = 16;  // of the widest vectors; a shorter block is padded to a multiple, so that no loop has a rest

// What q holds besides the mass of a class index: nothing, the same for every class, or a row of numbers.
enum class Base { none, even, row };

template <class S>
struct Stats {  // of a block or a row: r + 1 = s + ties, d = Σ(z − m), t and w over Base only, u as in the definition
  S m = -infinity<S>(), s = 0, ties = 0, d = 0, t = 0, w = 0, u = 0, count = 0;
  int64_t first = 0;  // where the block of the maximum starts
  S r() const { return m == infinity<S>() ? nan<S>() : s + (ties - 1); }
};

template <class S>
CROSSENT_INLINE S centre_of(S m) {
  return m == -infinity<S>() ? S(0) : m;
}

template <class S>
CROSSENT_INLINE S times(S q, S x) {  // 0·x = 0, for every x
  return q == 0 ? S(0) : q * x;
}

// See merge in crossent/_definition.py.
template <class S>
CROSSENT_LOOP Stats<S> merge(const Stats<S>& a, const Stats<S>& b) {
  const Stats<S>& low = a.m >= b.m ? b : a;
  Stats<S> out = a.m >= b.m ? a : b;
  const S step = low.m == out.m ? S(0) : low.m - out.m, scale = exp_of(step), mass = low.s + low.ties;
  out.u += times(scale, low.u + times(mass, step));
  out.s += step == 0 ? low.s : mass * scale;
  out.ties += step == 0 ? low.ties : S(0);
  out.d += low.d + times(low.count, step);
  out.t += low.t + times(low.w, step);
  out.w += low.w;
  out.count += low.count;
  return out;
}

// n is a multiple of `lanes`; from `count` on z is −∞ and q is 0.
template <class S, Base base, bool store, bool moment>
CROSSENT_LOOP Stats<S> block_stats(const S* z, const S* q, S* e_out, int64_t n, int64_t count) {
  n = n / lanes * lanes;
  S m = -infinity<S>();
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < n; ++i) m = z[i] > m ? z[i] : m;
  const S c = centre_of(m);
  S s = 0, ties = 0, d_sum = 0, t = 0, w = 0, u = 0;
#pragma omp simd reduction(+ : s, ties, d_sum, t, w, u)
  for (int64_t i = 0; i < n; ++i) {
    const S d = z[i] - c, e = lifted_exp(d);
    if (store) e_out[i] = e;
    s += z[i] == m ? S(0) : e;
    ties += z[i] == m ? S(1) : S(0);
    if (base == Base::even) d_sum += i < count ? d : S(0);
    if (base == Base::row) {
      t += q[i] == 0 ? S(0) : q[i] * d;
      w += q[i];
    }
    if (moment) u += e == 0 ? S(0) : e * d;
  }
  Stats<S> out;
  out.m = m, out.s = s / one<S>(), out.ties = m == -infinity<S>() ? S(0) : ties;
  out.d = d_sum, out.t = t, out.w = w, out.u = u / one<S>(), out.count = S(count);
  return out;
}

template <class S, class T, Base base>
CROSSENT_LOOP void finish_block(const S* e, const S* q, T* out, int64_t n, S factor, S scale) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    S g = factor * e[i];
    if (base == Base::even) g -= scale;
    if (base == Base::row) g -= scale * q[i];
    round_to(out[i], g);
  }
}

template <class S>
CROSSENT_LOOP void transform_block(const Rows& c, S* z, int64_t n) {
  const S cap = S(c.softcap), temperature = S(c.temperature);
  if (cap != 0) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) z[i] = cap * tanh_of(z[i] / cap);
  }
  if (temperature != 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) z[i] /= temperature;
  }
}

template <class S, class T>
CROSSENT_LOOP void widen_block(const T* x, S* z, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) z[i] = widen<S>(x[i]);
}

template <class S, class T>
CROSSENT_LOOP void round_block(const S* z, T* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) round_to(out[i], z[i]);
}

// The logits of a block in the dtype of the sums, soft-capped and divided by the temperature; x itself where it is that.
template <class S, class T>
CROSSENT_INLINE const S* load_block(const Rows& c, const T* x, int64_t n, S* buffer) {
  const bool changed = c.softcap != 0 || c.temperature != 1;
  if constexpr (std::is_same_v<S, T>) {
    if (!changed) return x;
  }
  widen_block(x, buffer, n);
  if (changed) transform_block(c, buffer, n);
  return buffer;
}

template <class S, class T>
CROSSENT_INLINE S logit_at(const Rows& c, const T* x, int64_t i) {
  S z = widen<S>(x[i]);
  if (c.softcap != 0 || c.temperature != 1) transform_block(c, &z, 1);
  return z;
}

}  // namespace CROSSENT_ISA
