// A row's place in the caller's arrays, its target, and how its loss and factors come from its statistics.
#pragma once

#include "transform.h"

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

// The masses of a row's target, in float64.
struct Target {
  bool live = true, known = true;
  int64_t y = -1;
  double own = 0;   // the mass that the class index adds at y
  double rows = 1;  // the weight of the row, a factor of all of them
};

template <class S>
CROSSENT_INLINE Target target_of(const Rows& c, int64_t row) {
  Target q;
  if (c.sample_weight.data) q.rows = *at<S>(c, c.sample_weight, row);
  if (c.y.data) {
    q.y = *at<int64_t>(c, c.y, row);
    q.live = q.y != c.ignore_index;
    q.known = q.y >= 0 && q.y < c.classes;
    const auto* weight = static_cast<const S*>(c.class_weight);
    q.own = q.live && q.known ? (1 - c.label_smoothing) * (weight ? weight[q.y] : S(1)) : 0;
  }
  q.live = q.live && q.rows != 0;  // a row of weight 0 gives 0 and 0, whatever it holds
  return q;
}

// What the loss and the gradient of a row come from, and they. In float64, as every number of which there is one a row:
// only what is done for each logit is in the dtype of the sums.
// D is double, or a vector of rows.
template <class D>
struct RowOf {
  D m, s, ties, d, t, w, u;        // the statistics; m of the logits as they are given, d and t halved
  D own, rows, upstream, z_y;      // as in Target; z_y: the logit of the class index
  D held, rest;                    // of a row of q: at the spot, and Σ q over the other classes
  D loss, square, k, pull, scale;  // k = w/(1 + r); pull: the factor of softmax from lse²
  D spot;                          // the derivative at the spot: the class index, or the maximum
};
using Row = RowOf<double>;

struct Scales {
  double loss, square, classes, even;
  explicit Scales(const Rows& c)
      : loss(c.loss_scale / c.temperature), square(c.square_scale / c.temperature), classes(double(c.classes)),
        even(c.label_smoothing / double(c.classes)) {}
};

// r of a row whose greatest z is z_m.
template <class D>
CROSSENT_INLINE D r_of(D z_m, const RowOf<D>& f) {
  return z_m == infinity<double>() ? D{} + nan<double>() : f.s + (f.ties - 1);
}

template <class D>
CROSSENT_INLINE D magnitude(D x) {
  return x < 0 ? -x : x;
}

// The derivative at a maximum: of (w − q) − k·r and k − q the form with the smaller terms.
template <class D>
CROSSENT_INLINE D at_top(D own, D rest, D k, D r) {
  return magnitude(rest) + magnitude(k) * r < magnitude(own) + magnitude(k) ? rest - k * r : k - own;
}

// Loss and factors of a row; `indexed`: of which a class index is the target, z_y its logit.
template <Base base, bool plain, class D>
CROSSENT_INLINE void finish_row(const Rows& c, const Scales& scales, bool indexed, RowOf<D>& f) {
  const D zero = {}, z_m = plain ? f.m : changed(c, f.m), r = r_of(z_m, f);
  const D empty = z_m == -infinity<double>() ? D{} + nan<double>() : zero, length = log1p_of(r < 0 ? zero : r);
  const Difference<D> gap = plain ? difference(f.z_y, f.m) : changed_difference(c, f.z_y, f.m);
  D half_gap = plain ? f.z_y / 2 - f.m / 2 : gap.value / 2;
  half_gap = z_m == -infinity<double>() || !indexed ? zero : half_gap;
  const D w = f.own + (base == Base::even ? scales.even * scales.classes + zero : base == Base::row ? f.w : zero);
  const D t = times(f.own, half_gap) + (base == Base::even ? scales.even * f.d : base == Base::row ? f.t : zero);
  const D lse = z_m + length, pulled = f.rows * lse, mass = 1 + r + empty;
  f.loss = 2 * (f.rows * (w * (length / 2) - t)) + empty;
  f.square = pulled * lse;
  f.scale = scales.loss * f.upstream * f.rows;
  f.k = w / mass;
  f.pull = scales.square == 0 ? zero : scales.square * f.upstream * 2 * pulled / mass;
  const D e = indexed ? exp_of(gap.value, gap.rest) : zero + 1;
  const D held = f.own + (base == Base::even ? zero + scales.even : base == Base::row ? f.held : zero);
  const D rest = base == Base::even ? zero + scales.even * (scales.classes - 1) : base == Base::row ? f.rest : zero;
  const D g = e == 1 && half_gap == 0 ? at_top(held, rest, f.k, r) : f.k * e - held;
  f.spot = f.scale * g + f.pull * e;
}

}  // namespace CROSSENT_ISA
