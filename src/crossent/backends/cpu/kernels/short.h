// Rows that are one block, some at a time: what is one number a row (logarithm, divisions) is computed for all of them
// at once, in vectors, and no row waits for the one before it. Traffic as in walk.h; the exponentials of the rows at
// hand stay in L1 and L2.
#pragma once

#include "walk.h"

namespace CROSSENT_ISA {

constexpr int64_t at_once = 16;
constexpr int64_t short_row = 512;  // longer ones gain nothing, measured

template <class S>
struct Few {  // of the rows at hand; the names of Stats, Target and Factors
  S m[at_once], s[at_once], ties[at_once], d[at_once], own[at_once], weight[at_once], upstream[at_once], z_y[at_once];
  S loss[at_once], square[at_once], factor[at_once], scale[at_once], k[at_once], pull[at_once];
  int64_t y[at_once];
};

template <class S>
CROSSENT_INLINE Stats<S> stats_at(const Few<S>& f, int64_t j) {
  Stats<S> s;
  s.m = f.m[j], s.s = f.s[j], s.ties = f.ties[j], s.d = f.d[j];
  return s;
}

template <class S, Base base>
CROSSENT_LOOP void factors_of_few(Few<S>& f, const Scales<S>& scales) {
#pragma omp simd
  for (int64_t j = 0; j < at_once; ++j) {
    const Factors<S> it =
        factors_of<S, base>(scales, stats_at(f, j), f.own[j], scales.even, f.weight[j], f.upstream[j], f.z_y[j]);
    f.loss[j] = it.loss, f.square[j] = it.square, f.k[j] = it.k, f.pull[j] = it.lse_pull, f.scale[j] = it.scale;
    f.factor[j] = (it.scale * it.k + it.lse_pull) / one<S>();
  }
}

// Row j's statistics, its exponentials left in e; a row that does not count is left as a row of weight 0.
template <class S, class T, Base base>
CROSSENT_INLINE void take_row(const Rows& c, int64_t row, int64_t j, S* e, Few<S>& f, const Buffers<S>& own, S even) {
  const Target<S> target = target_of<S>(c, row, even);
  const int64_t n = c.classes, full = (n + lanes - 1) / lanes * lanes;
  const bool counts = target.live && target.known;
  f.y[j] = counts ? target.y : -1;
  f.own[j] = target.live && !target.known ? nan<S>() : counts ? target.own : S(0);
  f.weight[j] = target.live ? target.rows : S(0);
  f.upstream[j] = c.upstream.data ? *at<S>(c, c.upstream, row) : S(1);
  f.m[j] = f.s[j] = f.d[j] = f.z_y[j] = 0, f.ties[j] = 1;
  if (!counts) return;
  const T* x = at<const T>(c, c.x, row);
  if (c.into.data) expect<1>(at<const T>(c, c.into, row), n);
  const S* z = load_block<S, T>(c, x, n, own.logits);
  f.z_y[j] = z[target.y];
  if (full != n) pad(z, own.logits, n, full, -infinity<S>()), z = own.logits;
  const Stats<S> s = c.into.data ? block_stats<S, base, true, false>(z, nullptr, e, full, n)
                                 : block_stats<S, base, false, false>(z, nullptr, e, full, n);
  f.m[j] = s.m, f.s[j] = s.s, f.ties[j] = s.ties, f.d[j] = s.d;
}

template <class S, class T, Base base>
CROSSENT_INLINE void give_row(const Rows& c, int64_t row, int64_t j, const S* e, const Few<S>& f, S even) {
  T* out = at<T>(c, c.into, row);
  const int64_t y = f.y[j];
  if (y < 0) return fill_row(out, c.classes, f.own[j]);  // 0, or NaN
  finish_block<S, T, base>(e, nullptr, out, c.classes, f.factor[j], f.scale[j] * even);
  const S e_y = e[y] / one<S>(), mass = f.own[j] + (base == Base::even ? even : S(0));
  const S rest = base == Base::even ? even * S(c.classes - 1) : S(0);
  const S g = e_y == 1 ? at_top(mass, rest, f.k[j], stats_at(f, j).r()) : f.k[j] * e_y - mass;
  round_to(out[y], f.scale[j] * g + f.pull[j] * e_y);
}

template <class S, class T, Base base>
void walk_short(const Rows& c, int64_t begin, int64_t end) {
  Buffers<S> own = buffers_for<S>(c);
  const Scales<S> scales(c);
  static thread_local Scratch memory;
  const int64_t full = (c.classes + lanes - 1) / lanes * lanes;
  S* e = memory.reserve<S>(at_once * full);
  Few<S> f = {};
  for (int64_t row = begin; row < end; row += at_once) {
    const int64_t n = end - row < at_once ? end - row : at_once;
    for (int64_t j = 0; j < n; ++j) take_row<S, T, base>(c, row + j, j, e + j * full, f, own, scales.even);
    factors_of_few<S, base>(f, scales);
    for (int64_t j = 0; j < n; ++j) {
      if (c.into.data) give_row<S, T, base>(c, row + j, j, e + j * full, f, scales.even);
      if (c.loss.data) *at<S>(c, c.loss, row + j) = f.loss[j];
      if (c.square.data) *at<S>(c, c.square, row + j) = f.square[j];
    }
  }
}

}  // namespace CROSSENT_ISA
