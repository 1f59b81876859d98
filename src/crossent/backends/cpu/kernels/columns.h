// Rows side by side: where the classes are few, or lie apart (segmentation: classes first), the lanes of the processor
// are rows. A tile of rows by all classes is read into the dtype of the sums, in cache, and worked on there.
//
// Memory traffic an element: size of x read, size of x written; the tile's passes stay in L1 and L2.
#pragma once

#include "walk.h"

namespace CROSSENT_ISA {

template <class S>
struct Tile {
  int64_t n, full, width;            // rows in this tile, with padding (zeros), and in the memory of one
  S *z, *q, *slope;                  // classes × width; q and slope where they are needed
  S *m, *s, *ties, *d, *t, *w, *u;   // the statistics, as in Stats
  S *own, *weight, *upstream, *z_y;  // as in Target; weight is that of the row
  S *factor, *scale, *rest, *spot;   // of the gradient; spot: the class where the accurate form is due
  int64_t* y;
};

template <class S>
CROSSENT_LOOP Tile<S> tile_for(const Rows& c) {
  static thread_local Scratch memory;
  // One cache line more than the rows need: else the classes of a row, a power of two apart, would evict each other.
  const int64_t width = (c.tile + lanes - 1) / lanes * lanes + lanes, area = c.classes * width;
  S* start = memory.reserve<S>(3 * area + 17 * width);
  Tile<S> t;
  t.width = width;
  t.z = start, t.q = start + area, t.slope = start + 2 * area;
  S** columns[] = {&t.m, &t.s, &t.ties, &t.d, &t.t, &t.w, &t.u, &t.own, &t.weight, &t.upstream, &t.z_y, &t.factor,
                   &t.scale, &t.rest, &t.spot};
  S* next = start + 3 * area;
  for (S** column : columns) *column = next, next += width;
  static thread_local Scratch indices;
  t.y = indices.reserve<int64_t>(width);
  return t;
}

template <class S, class T>
CROSSENT_LOOP void load_tile(const T* x, int64_t step, int64_t along, int64_t classes, const Tile<S>& t, S* z) {
  for (int64_t k = 0; k < classes && t.n < t.full; ++k)
    for (int64_t j = t.n; j < t.full; ++j) z[k * t.width + j] = 0;
  if (step == 1) {
    for (int64_t k = 0; k < classes; ++k) {
#pragma omp simd
      for (int64_t j = 0; j < t.n; ++j) z[k * t.width + j] = widen<S>(x[k * along + j]);
    }
    return;
  }
  for (int64_t j = 0; j < t.n; ++j)
    for (int64_t k = 0; k < classes; ++k) z[k * t.width + j] = widen<S>(x[j * step + k * along]);
}

template <class S, class T>
CROSSENT_LOOP void store_tile(T* out, int64_t step, int64_t along, int64_t classes, const Tile<S>& t) {
  if (step == 1) {
    for (int64_t k = 0; k < classes; ++k) {
#pragma omp simd
      for (int64_t j = 0; j < t.n; ++j) round_to(out[k * along + j], t.z[k * t.width + j]);
    }
    return;
  }
  for (int64_t j = 0; j < t.n; ++j)
    for (int64_t k = 0; k < classes; ++k) round_to(out[j * step + k * along], t.z[k * t.width + j]);
}

// The targets and weights of a tile; what does not count is a column of zeros, weighed 0.
template <class S>
CROSSENT_LOOP void load_targets(const Rows& c, int64_t row, const Tile<S>& t) {
  for (int64_t j = 0; j < t.n; ++j) {
    const Target<S> target = target_of<S>(c, row + j, S(0));
    t.y[j] = target.live && target.known ? target.y : -1;
    t.own[j] = target.live && !target.known ? nan<S>() : target.own;
    t.weight[j] = target.live ? target.rows : S(0);
    t.upstream[j] = c.upstream.data ? *at<S>(c, c.upstream, row + j) : S(1);
    if (target.live) continue;
    for (int64_t k = 0; k < c.classes; ++k) t.z[k * t.width + j] = 0;
  }
  for (int64_t j = t.n; j < t.full; ++j) t.own[j] = t.weight[j] = t.upstream[j] = t.z_y[j] = 0, t.y[j] = -1;
}

template <class S>
CROSSENT_LOOP void load_base(const Rows& c, int64_t row, const Tile<S>& t) {
  const auto* weight = static_cast<const S*>(c.class_weight);
  const S keep = S(1) - S(c.label_smoothing), even = S(c.label_smoothing) / S(c.classes);
  if (c.q.data) load_tile<S, S>(at<const S>(c, c.q, row), c.q.stride[c.axes - 1], c.q.along, c.classes, t, t.q);
  const bool given = c.q.data != nullptr;
  for (int64_t k = 0; k < c.classes; ++k) {
    const S factor = weight ? weight[k] : S(1);
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j)
      t.q[k * t.width + j] = times(factor, (given ? keep * t.q[k * t.width + j] : S(0)) + even);
  }
}

template <class S>
CROSSENT_LOOP void transform_tile(const Rows& c, const Tile<S>& t) {
  const S cap = S(c.softcap), temperature = S(c.temperature);
  for (int64_t k = 0; k < c.classes; ++k) {
    S *z = t.z + k * t.width, *slope = t.slope + k * t.width;
    if (cap != 0) {
#pragma omp simd
      for (int64_t j = 0; j < t.full; ++j) {
        slope[j] = tanh_slope(z[j] / cap);
        z[j] = cap * tanh_of(z[j] / cap);
      }
    }
    if (temperature != 1) {
#pragma omp simd
      for (int64_t j = 0; j < t.full; ++j) z[j] /= temperature;
    }
  }
}

template <class S>
CROSSENT_LOOP void tile_maxima(const Tile<S>& t, int64_t classes) {
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) t.m[j] = -infinity<S>();
  for (int64_t k = 0; k < classes; ++k) {
    const S* z = t.z + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) t.m[j] = z[j] > t.m[j] ? z[j] : t.m[j];
  }
}

template <class S, Base base, bool store, bool moment>
CROSSENT_LOOP void tile_stats(const Tile<S>& t, int64_t classes) {
  tile_maxima(t, classes);
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) t.s[j] = t.ties[j] = t.d[j] = t.t[j] = t.w[j] = t.u[j] = 0;
  for (int64_t k = 0; k < classes; ++k) {
    S *z = t.z + k * t.width, *q = t.q + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) {
      const S m = t.m[j], d = z[j] - centre_of(m), e = lifted_exp(d);
      t.s[j] += z[j] == m ? S(0) : e;
      t.ties[j] += z[j] == m && m != -infinity<S>() ? S(1) : S(0);
      if (base == Base::even) t.d[j] += d;
      if (base == Base::row) t.t[j] += times(q[j], d), t.w[j] += q[j];
      if (moment) t.u[j] += times(e, d);
      if (store) z[j] = e;
    }
  }
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) t.s[j] /= one<S>(), t.u[j] /= one<S>();
}

template <class S>
CROSSENT_INLINE Stats<S> stats_at(const Tile<S>& t, int64_t j) {
  Stats<S> s;
  s.m = t.m[j], s.s = t.s[j], s.ties = t.ties[j], s.d = t.d[j], s.t = t.t[j], s.w = t.w[j], s.u = t.u[j];
  return s;
}

// The class of the maximum, before the exponentials overwrite the logits; the first NaN where there is one.
template <class S>
CROSSENT_LOOP void tile_spots(const Tile<S>& t, int64_t classes) {
  for (int64_t k = classes - 1; k >= 0; --k) {
    const S* z = t.z + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) t.spot[j] = z[j] == t.m[j] ? S(k) : t.spot[j];
  }
  for (int64_t k = classes - 1; k >= 0; --k) {
    const S* z = t.z + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) t.spot[j] = z[j] != z[j] ? S(k) : t.spot[j];
  }
}

// Σ q over all classes but the one of the spot.
template <class S>
CROSSENT_LOOP void tile_rest(const Tile<S>& t, int64_t classes) {
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) t.rest[j] = 0;
  for (int64_t k = 0; k < classes; ++k) {
    const S* q = t.q + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) t.rest[j] += t.spot[j] == S(k) ? S(0) : q[j];
  }
}

template <class S, Base base>
CROSSENT_LOOP void tile_gradient(const Rows& c, const Tile<S>& t, const S* k_of, const S* pull_of, S even) {
  if (base == Base::row) tile_rest(t, c.classes);
  for (int64_t j = 0; j < t.n; ++j) {  // e and q at the spot
    const int64_t spot = base == Base::row && c.q.data ? int64_t(t.spot[j]) : t.y[j];
    t.z_y[j] = spot < 0 ? S(0) : t.z[spot * t.width + j];
    if (base == Base::row && spot >= 0) t.own[j] += t.q[spot * t.width + j];
  }
  const S even_rest = even * S(c.classes - 1);
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) {  // the accurate form, kept until the loop below has passed
    const S e = t.z_y[j] / one<S>(), r = stats_at(t, j).r(), k = k_of[j];
    const S rest = base == Base::even ? even_rest : base == Base::row ? t.rest[j] : S(0);
    const S mass = t.own[j] + (base == Base::even ? even : S(0));
    t.z_y[j] = t.scale[j] * (e == 1 ? at_top(mass, rest, k, r) : k * e - mass) + pull_of[j] * e;
  }
  for (int64_t k = 0; k < c.classes; ++k) {
    S *z = t.z + k * t.width, *q = t.q + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) {
      S g = t.factor[j] * z[j];
      if (base == Base::even) g -= t.scale[j] * even;
      if (base == Base::row) g -= t.scale[j] * q[j];
      z[j] = g;
    }
  }
  for (int64_t j = 0; j < t.n; ++j) {
    const int64_t spot = base == Base::row && c.q.data ? int64_t(t.spot[j]) : t.y[j];
    if (spot >= 0) t.z[spot * t.width + j] = t.z_y[j];
  }
  if (c.softcap == 0) return;
  for (int64_t k = 0; k < c.classes; ++k) {
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) t.z[k * t.width + j] *= t.slope[k * t.width + j];
  }
}

template <class S, class T, Base base>
CROSSENT_LOOP void loss_of_tile(const Rows& c, int64_t row, const Tile<S>& t) {
  const int last = c.axes - 1;
  const S even = S(c.label_smoothing) / S(c.classes);
  load_tile<S, T>(at<const T>(c, c.x, row), c.x.stride[last], c.x.along, c.classes, t, t.z);
  load_targets(c, row, t);
  transform_tile(c, t);
  if (base == Base::row) load_base(c, row, t);
  for (int64_t j = 0; j < t.n; ++j) t.z_y[j] = t.y[j] < 0 ? S(0) : t.z[t.y[j] * t.width + j];
  if (base == Base::row) {
    tile_maxima(t, c.classes);
    for (int64_t j = 0; j < t.n; ++j) t.spot[j] = S(t.y[j] < 0 ? 0 : t.y[j]);
    if (c.q.data) tile_spots(t, c.classes);
  }
  if (c.into.data) tile_stats<S, base, true, false>(t, c.classes);
  else tile_stats<S, base, false, false>(t, c.classes);
  const Scales<S> scales(c);
  S *loss = t.d, *square = t.t, *k = t.u, *pull = t.w;  // each is read before it is written
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) {
    const S z_y = t.own[j] == 0 ? t.m[j] : t.z_y[j];
    const Factors<S> f = factors_of<S, base>(scales, stats_at(t, j), t.own[j], even, t.weight[j], t.upstream[j], z_y);
    t.factor[j] = (f.scale * f.k + f.lse_pull) / one<S>(), t.scale[j] = f.scale;
    loss[j] = f.loss, square[j] = f.square, k[j] = f.k, pull[j] = f.lse_pull;
  }
  if (c.loss.data)
    for (int64_t j = 0; j < t.n; ++j) *(at<S>(c, c.loss, row) + j * c.loss.stride[last]) = loss[j];
  if (c.square.data)
    for (int64_t j = 0; j < t.n; ++j) *(at<S>(c, c.square, row) + j * c.square.stride[last]) = square[j];
  if (!c.into.data) return;
  tile_gradient<S, base>(c, t, k, pull, even);
  store_tile<S, T>(at<T>(c, c.into, row), c.into.stride[last], c.into.along, c.classes, t);
}

template <class S, class T>
CROSSENT_LOOP void softmax_of_tile(const Rows& c, int64_t row, const Tile<S>& t) {
  const int last = c.axes - 1;
  load_tile<S, T>(at<const T>(c, c.x, row), c.x.stride[last], c.x.along, c.classes, t, t.z);
  transform_tile(c, t);
  const bool softmax = c.output == Output::softmax;
  if (softmax) tile_stats<S, Base::none, true, false>(t, c.classes);
  else tile_stats<S, Base::none, false, false>(t, c.classes);
#pragma omp simd
  for (int64_t j = 0; j < t.full; ++j) {
    const S r = t.m[j] == -infinity<S>() ? nan<S>() : stats_at(t, j).r();
    t.factor[j] = softmax ? 1 / (1 + r) / one<S>() : log1p_of(r);
  }
  for (int64_t k = 0; k < c.classes; ++k) {
    S* z = t.z + k * t.width;
#pragma omp simd
    for (int64_t j = 0; j < t.full; ++j) z[j] = softmax ? z[j] * t.factor[j] : (z[j] - t.m[j]) - t.factor[j];
  }
  store_tile<S, T>(at<T>(c, c.into, row), c.into.stride[last], c.into.along, c.classes, t);
}

template <class S, class T>
CROSSENT_LOOP void moments_of_tile(const Rows& c, int64_t row, const Tile<S>& t) {
  load_tile<S, T>(at<const T>(c, c.x, row), c.x.stride[c.axes - 1], c.x.along, c.classes, t, t.z);
  transform_tile(c, t);
  tile_stats<S, Base::none, false, true>(t, c.classes);
  tile_spots(t, c.classes);
  for (int64_t j = 0; j < t.n; ++j) {
    const Stats<S> s = stats_at(t, j);
    const S r = s.m == -infinity<S>() ? nan<S>() : s.r();
    if (c.lse.data) *at<S>(c, c.lse, row + j) = lse_of(s);
    if (c.entropy.data) *at<S>(c, c.entropy, row + j) = log1p_of(r) - s.u / (1 + r);
    if (c.confidence.data) *at<S>(c, c.confidence, row + j) = 1 / (1 + r);
    if (c.prediction.data) *at<int64_t>(c, c.prediction, row + j) = int64_t(t.spot[j]);
  }
}

template <class S, class T>
void walk_columns(const Rows& c, int64_t begin, int64_t end) {
  Tile<S> t = tile_for<S>(c);
  const int64_t run = c.size[c.axes - 1], tiles = (run + c.tile - 1) / c.tile;
  const bool row = c.q.data || (c.label_smoothing != 0 && c.class_weight);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = unit % tiles * c.tile, start = unit / tiles * run + first;
    t.n = run - first < c.tile ? run - first : c.tile;
    t.full = (t.n + lanes - 1) / lanes * lanes;
    if (c.output == Output::moments) moments_of_tile<S, T>(c, start, t);
    else if (c.output != Output::loss) softmax_of_tile<S, T>(c, start, t);
    else if (row) loss_of_tile<S, T, Base::row>(c, start, t);
    else if (c.label_smoothing != 0) loss_of_tile<S, T, Base::even>(c, start, t);
    else loss_of_tile<S, T, Base::none>(c, start, t);
  }
}

}  // namespace CROSSENT_ISA
