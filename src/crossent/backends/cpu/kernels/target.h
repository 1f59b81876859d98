// A row's place in the caller's arrays, its target, and how its loss and factors come from its statistics.
#pragma once

#include "rows.h"

namespace CROSSENT_ISA {

template <class S>
CROSSENT_INLINE int64_t offset(const Rows& c, const Array& a, int64_t row) {
  if (c.axes == 1) return row * a.stride[0];
  int64_t place = 0;
  for (int i = c.axes - 1; i >= 0; --i) {
    place += row % c.size[i] * a.stride[i];
    row /= c.size[i];
  }
  return place;
}

template <class V>
CROSSENT_INLINE V* at(const Rows& c, const Array& a, int64_t row) {
  return a.data ? static_cast<V*>(a.data) + offset<V>(c, a, row) : nullptr;
}

// How a row's losses and factors come from its statistics and the masses of its target.
template <class S>
struct Target {
  bool live = true, known = true;
  int64_t y = -1;
  S own = 0;     // the mass that the class index adds at y
  S even = 0;    // Base::even: the mass of every class
  S rows = 1;    // the weight of the row, a factor of all of them
};

template <class S>
struct Factors {
  S loss, square, k, lse_pull, scale;  // k = w/(1 + r); lse_pull: the factor of softmax from lse²
};

template <class S>
CROSSENT_INLINE Target<S> target_of(const Rows& c, int64_t row, S even) {
  Target<S> q;
  if (c.sample_weight.data) q.rows = *at<S>(c, c.sample_weight, row);
  const S keep = S(1) - S(c.label_smoothing);
  if (c.y.data) {
    q.y = *at<int64_t>(c, c.y, row);
    q.live = q.y != c.ignore_index;
    q.known = q.y >= 0 && q.y < c.classes;
    const auto* weight = static_cast<const S*>(c.class_weight);
    q.own = q.live && q.known ? keep * (weight ? weight[q.y] : S(1)) : S(0);
  }
  q.even = even;
  q.live = q.live && q.rows != 0;  // a row of weight 0 gives 0 and 0, whatever it holds
  return q;
}

// What the scales of a call are, in the dtype of the sums.
template <class S>
struct Scales {
  S loss, square, classes, even;
  explicit Scales(const Rows& c)
      : loss(S(c.loss_scale / c.temperature)), square(S(c.square_scale / c.temperature)), classes(S(c.classes)),
        even(S(c.label_smoothing) / S(c.classes)) {}
};

template <class S, Base base>
CROSSENT_LOOP Factors<S> factors_of(const Scales<S>& scales, const Stats<S>& s, S own, S even, S rows, S upstream, S z_y) {
  Factors<S> f;
  const S r = s.r(), empty = s.m == -infinity<S>() ? nan<S>() : S(0);
  const S length = log1p_of(r < 0 ? S(0) : r);
  const S d_y = s.m == -infinity<S>() ? S(0) : z_y - s.m;
  const S w = own + (base == Base::even ? even * scales.classes : base == Base::row ? s.w : S(0));
  const S t = times(own, d_y) + (base == Base::even ? even * s.d : base == Base::row ? s.t : S(0));
  const S lse = s.m + length, pull = rows * lse, mass = 1 + r + empty;
  f.loss = (w * length - t) * rows + empty;
  f.square = pull * lse;
  f.scale = scales.loss * upstream * rows;
  f.k = w / mass;
  f.lse_pull = scales.square == 0 ? S(0) : scales.square * upstream * 2 * pull / mass;
  return f;
}

// The derivative at a maximum: of (w − q) − k·r and k − q the form with the smaller terms.
template <class S>
CROSSENT_INLINE S at_top(S own, S rest, S k, S r) {
  const S one = (rest < 0 ? -rest : rest) + (k < 0 ? -k : k) * r, two = (own < 0 ? -own : own) + (k < 0 ? -k : k);
  return one < two ? rest - k * r : k - own;
}

}  // namespace CROSSENT_ISA
