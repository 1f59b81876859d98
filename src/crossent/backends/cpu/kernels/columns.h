// Rows side by side: where the classes are few, or lie apart (segmentation: classes first), the lanes of the processor
// are rows. A tile of rows by all classes is read into the dtype of the sums, in cache, and worked on there.
//
// Memory traffic an element: size of x read, size of x written; the tile's passes stay in L1 and L2. The next tile is
// fetched line by line while this one is computed.
#pragma once

#include "softmax.h"
#include "tile.h"

namespace CROSSENT_ISA {

// The statistics of as many rows as a vector holds, from row j of the tile on; their exponentials are left in it.
template <class S, Base base, bool store_e, bool moment, bool plain, class T>
CROSSENT_LOOP void take_lanes(const Tile<S>& t, int64_t classes, int64_t j, const T* ahead, int64_t along) {
  using V = Vector<S>;
  V m = all(-infinity<S>());
  S* column = t.z + j;
  for (int64_t k = 0; plain && k < classes; ++k) m = greater(load(column + k * t.width), m);
  if (!plain) m = V{};  // they are distances from it
  const V centre = centre_of(m), half_m = centre / 2;
  V ties = {}, t_rest = {};
  Total<S> s, d, s_t, w, own, u;
  const auto take = [&](int64_t k, V& sum, V& half_sum) {
    S* place = column + k * t.width;
    const V z = load(place);
    const Difference<V> gap = plain ? below(z, centre) : Difference<V>{z, load(t.rest + j + k * t.width)};
    const V e = lifted_exp(gap.value, gap.rest);
    const V half_d = z / 2 - half_m;
    const Tops<S> tops(z, m);
    tops.add_others(sum, e);
    tops.add_tops(ties, all(S(1)));
    if (base == Base::even) half_sum += half_d / S(spare);
    if (base == Base::row) {
      const V q = load(t.q + j + k * t.width);
      V others = {}, at_tops = {};
      const V product = q == 0 ? V{} : q * half_d, left = (q * half_d - product) + q * gap.rest / 2;
      s_t.add(product);
      t_rest += gap.value > -infinity<S>() ? left : V{};  // of an infinity nothing is left
      tops.add_others(others, q), tops.add_tops(at_tops, q);
      w.add(others), own.add(at_tops);
    }
    if (moment) u.add(e == 0 ? V{} : e * (2 * half_d));
    if (store_e) store(place, e);
    expect_read(ahead + k * along + j);
  };
  int64_t k = 0;
  for (; k + 2 <= classes; k += 2) {
    V sum = {}, half_sum = {};
    take(k, sum, half_sum), take(k + 1, sum, half_sum);
    s.add(sum);
    if (base == Base::even) d.add(half_sum);
  }
  if (k < classes) {
    V sum = {}, half_sum = {};
    take(k, sum, half_sum);
    s.add(sum);
    if (base == Base::even) d.add(half_sum);
  }
  s.each(t.s + j);
  if (base == Base::even) d.each(t.d + j);
  if (base == Base::row) s_t.add(t_rest), s_t.each(t.t + j), w.each(t.left + j), own.each(t.w + j);  // w below the maximum, and at it
  if (moment) u.each(t.u + j);
  const double unit = 1 / double(Format<S>::lifted_one);
  S tops[lanes<S>], counts[lanes<S>];
  store(tops, m), store(counts, ties);
  for (int64_t i = j; i < j + lanes<S>; ++i) {
    if (plain) t.m[i] = double(tops[i - j]);
    t.ties[i] = plain && t.m[i] == -infinity<double>() ? 0.0 : double(counts[i - j]);
    t.s[i] *= unit;
    if (moment) t.u[i] *= unit;
  }
}

template <class S, Base base, bool plain>
CROSSENT_LOOP void finish_tile(const Rows& c, const Scales& scales, bool indexed, const Tile<S>& t) {
  const Doubles zero = {};
  for (int64_t j = 0; j < t.full; j += side) {
    RowOf<Doubles> f = {};
    f.m = load(t.m + j), f.s = load(t.s + j), f.ties = load(t.ties + j), f.own = load(t.own + j), f.rows = load(t.rows + j);
    f.upstream = load(t.upstream + j), f.z_y = load(t.z_y + j);
    if (base == Base::even) f.d = load(t.d + j) * spare;
    if (base == Base::row) {
      const Doubles below = load(t.left + j), at_tops = load(t.w + j);
      f.t = load(t.t + j), f.w = below + at_tops, f.held = load(t.held + j), f.rest = below + (at_tops - f.held);
    }
    finish_row<base, plain>(c, scales, indexed, f);
    const double unit = 1 / double(Format<S>::lifted_one);
    store(t.loss + j, f.loss), store(t.square + j, f.square), store(t.spot_value + j, f.spot);
    if (base == Base::none) {
      store(t.by + j, (f.scale * f.k + f.pull) * unit);
    } else {  // a scale of 0: lse² alone pulls
      store(t.by + j, (f.scale == 0 ? f.pull : f.k + f.pull / f.scale) * unit);
      store(t.k + j, f.scale == 0 ? zero + 1 : f.scale), store(t.pull + j, f.scale == 0 ? zero : zero + 1);
    }
  }
}

// What becomes of each logit of a tile, `value(k, j)` of class k and a vector of rows from j on: written class after class,
// since memory likes long runs.
template <class S, class T, class Value>
CROSSENT_INLINE void give_tile(const Rows& c, T* out, const Tile<S>& t, const Value& value) {
  const int64_t step = c.into.stride[c.axes - 1], along = c.into.along;
  const int64_t classes = c.classes, n = t.n;
  if (step != 1) {
    for (int64_t k = 0; k < classes; ++k)
      for (int64_t j = 0; j < n; j += lanes<S>) store(t.z + k * t.width + j, value(k, j));
    return store_tile<S, T>(out, step, along, classes, t);
  }
  for (int64_t k = 0; k < classes; ++k)
    along_rows(n, lanes<S>, [&](int64_t j) { write<S>(out + k * along + j, value(k, j)); },
               [&](int64_t j, int64_t rest) { write_some<S>(out + k * along + j, value(k, j), rest); });
}

// Numbers of the rows in the dtype of the sums.
template <class S>
CROSSENT_LOOP void narrow(const double* x, S* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = S(x[i]);
}

template <class S, class T, Base base>
CROSSENT_LOOP void give_gradient(const Rows& c, T* out, double even_mass, const Tile<S>& t) {
  using V = Vector<S>;
  narrow(t.by, t.factor, t.full);
  if (base != Base::none) narrow(t.k, t.factor + t.width, t.full), narrow(t.pull, t.factor + 2 * t.width, t.full);
  const V even = all(S(even_mass));
  const bool cap = c.softcap != 0;
  const S *factor = t.factor, *scale = factor + t.width, *part = scale + t.width, *z = t.z, *q = t.q, *slope = t.slope;
  const int64_t width = t.width;
  const auto gradient = [=](int64_t k, int64_t j) -> V {
    const V g = load(factor + j) * load(z + k * width + j);
    if (base == Base::none) return g;
    const V held = base == Base::even ? even : load(q + k * width + j);
    return load(scale + j) * (load(factor + j) * load(z + k * width + j) - load(part + j) * held);
  };
  if (cap) give_tile<S, T>(c, out, t, [=](int64_t k, int64_t j) -> V { return gradient(k, j) * load(slope + k * width + j); });
  else give_tile<S, T>(c, out, t, gradient);
  const int64_t step = c.into.stride[c.axes - 1];
  for (int64_t j = 0; j < t.n; ++j) {
    if (t.spot[j] < 0) continue;
    const double slope = cap ? double(t.slope[t.spot[j] * t.width + j]) : 1.0;
    round_to(out[j * step + t.spot[j] * c.into.along], t.spot_value[j] * slope);
  }
}

template <class S, class T>
CROSSENT_INLINE const T* next_tile(const Rows& c, const T* x, const Tile<S>& t, bool more) {
  return more && c.x.stride[c.axes - 1] == 1 ? x + t.n : x;
}

template <class S, class T, Base base, bool plain>
CROSSENT_LOOP void loss_of_tile(const Rows& c, int64_t row, const Tile<S>& t, bool more, const Scales& scales) {
  const int last = c.axes - 1;
  const T* x = at<const T>(c, c.x, row);
  load_tile<S, T>(x, c.x.stride[last], c.x.along, c.classes, t, t.z);
  load_targets(c, row, t);
  if (base == Base::row) load_base(c, row, t);
  const bool indexed = c.y.data != nullptr;
  for (int64_t j = 0; j < t.full; ++j) {
    t.z_y[j] = t.y[j] < 0 ? 0.0 : double(t.z[t.y[j] * t.width + j]);
    t.spot[j] = t.y[j];
  }
  if (!plain || (base == Base::row && !indexed)) tile_maxima(t, c.classes);
  if (!plain) change_tile(c, t);
  if (base == Base::row && !indexed) tile_spots(t, c.classes, !plain);
  if (base == Base::row)
    for (int64_t j = 0; j < t.full; ++j) t.held[j] = t.spot[j] < 0 ? 0.0 : double(t.q[t.spot[j] * t.width + j]);
  const T* ahead = next_tile(c, x, t, more);
  const int64_t along = c.x.stride[last] == 1 ? c.x.along : 0;
  for (int64_t j = 0; j < t.full; j += lanes<S>) {
    if (c.into.data) take_lanes<S, base, true, false, plain>(t, c.classes, j, ahead, along);
    else take_lanes<S, base, false, false, plain>(t, c.classes, j, ahead, along);
  }
  finish_tile<S, base, plain>(c, scales, indexed, t);
  if (c.loss.data)
    for (int64_t j = 0; j < t.n; ++j) *(at<S>(c, c.loss, row) + j * c.loss.stride[last]) = S(t.loss[j]);
  if (c.square.data)
    for (int64_t j = 0; j < t.n; ++j) *(at<S>(c, c.square, row) + j * c.square.stride[last]) = S(t.square[j]);
  if (c.into.data) give_gradient<S, T, base>(c, at<T>(c, c.into, row), scales.even, t);
}

template <class S, class T, bool plain>
CROSSENT_LOOP void softmax_of_tile(const Rows& c, int64_t row, const Tile<S>& t, bool more) {
  using V = Vector<S>;
  const int last = c.axes - 1;
  const T* x = at<const T>(c, c.x, row);
  T* out = at<T>(c, c.into, row);
  load_tile<S, T>(x, c.x.stride[last], c.x.along, c.classes, t, t.z);
  if (!plain) tile_maxima(t, c.classes), change_tile(c, t);
  const bool softmax = c.output == Output::softmax;
  const T* ahead = next_tile(c, x, t, more);
  const int64_t along = c.x.stride[last] == 1 ? c.x.along : 0;
  for (int64_t j = 0; j < t.full; j += lanes<S>) {
    if (softmax) take_lanes<S, Base::none, true, false, plain>(t, c.classes, j, ahead, along);
    else take_lanes<S, Base::none, false, false, plain>(t, c.classes, j, ahead, along);
  }
  for (int64_t j = 0; j < t.full; j += side) {
    RowOf<Doubles> f = {};
    f.s = load(t.s + j), f.ties = load(t.ties + j);
    const Doubles r = r_or_nan(changed(c, load(t.m + j)), f);
    store(t.by + j, softmax ? 1 / double(Format<S>::lifted_one) / (1 + r) : log1p_of(r));
  }
  if (softmax) {
    for (int64_t j = 0; j < t.n; ++j) t.by[j] *= upstream_of<S>(c, row + j);
    for (int64_t j = 0; j < t.full; ++j) {
      const bool small = is_small(t.by[j]);
      t.by[j] *= small ? lift : 1, t.factor[t.width + j] = small ? S(1 / lift) : S(1);
    }
  } else {
    narrow(t.m, t.factor + t.width, t.full);
  }
  narrow(t.by, t.factor, t.full);
  const S *factor = t.factor, *m = t.factor + t.width, *unlift = m, *z = t.z, *left = t.rest;
  const int64_t width = t.width;
  if (softmax) {
    give_tile<S, T>(c, out, t, [=](int64_t k, int64_t j) -> V { return load(factor + j) * load(z + k * width + j) * load(unlift + j); });
  } else {
    give_tile<S, T>(c, out, t, [=](int64_t k, int64_t j) -> V {
      const V d = load(z + k * width + j), length = load(factor + j);
      return plain ? (d - load(m + j)) - length : d - (length - load(left + k * width + j));
    });
  }
}

template <class S, class T, bool plain>
CROSSENT_LOOP void moments_of_tile(const Rows& c, int64_t row, const Tile<S>& t) {
  load_tile<S, T>(at<const T>(c, c.x, row), c.x.stride[c.axes - 1], c.x.along, c.classes, t, t.z);
  tile_maxima(t, c.classes);
  if (!plain) change_tile(c, t);
  tile_spots(t, c.classes, !plain);
  for (int64_t j = 0; j < t.full; j += lanes<S>)
    take_lanes<S, Base::none, false, true, plain>(t, c.classes, j, t.z, 0);
  Several f = {};
  for (int64_t i = 0; i < t.n; i += at_once) {
    for (int64_t j = 0; j < at_once; ++j) f.m[j] = t.m[i + j], f.s[j] = t.s[i + j], f.ties[j] = t.ties[i + j], f.u[j] = t.u[i + j];
    moments_of(c, f);
    for (int64_t j = 0; j < at_once && i + j < t.n; ++j) {
      give_moments<S>(c, row + i + j, j, f);
      if (c.prediction.data) *at<int64_t>(c, c.prediction, row + i + j) = t.spot[i + j];
    }
  }
}

template <class S, class T, bool plain>
void walk_columns(const Rows& c, int64_t begin, int64_t end) {
  Tile<S> t = tile_for<S>(c);
  const Scales scales(c);
  const int64_t run = c.size[c.axes - 1], tiles = (run + c.tile - 1) / c.tile;
  const bool row = c.q.data || (c.label_smoothing != 0 && c.class_weight);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = unit % tiles * c.tile, start = unit / tiles * run + first;
    t.n = run - first < c.tile ? run - first : c.tile;
    t.full = (t.n + 15) / 16 * 16;
    const bool more = unit + 1 < end && first + c.tile < run;
    if (c.output == Output::moments) moments_of_tile<S, T, plain>(c, start, t);
    else if (c.output != Output::loss) softmax_of_tile<S, T, plain>(c, start, t, more);
    else if (row) loss_of_tile<S, T, Base::row, plain>(c, start, t, more, scales);
    else if (c.label_smoothing != 0) loss_of_tile<S, T, Base::even, plain>(c, start, t, more, scales);
    else loss_of_tile<S, T, Base::none, plain>(c, start, t, more, scales);
  }
}

}  // namespace CROSSENT_ISA
