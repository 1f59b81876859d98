// A tile: rows side by side by all classes, in cache; how it is filled from memory and what a row of it has for a target.
#pragma once

#include <initializer_list>

#include "target.h"

namespace CROSSENT_ISA {

template <class S>
struct Tile {
  int64_t n, full, width;  // rows in this tile, with padding (zeros), and in the memory of one
  S *z, *rest, *slope, *q;  // classes × width: logits, later exponentials; the last three where they are needed
  double *m, *s, *ties, *d, *t, *w, *u, *own, *rows, *upstream, *z_y, *held, *left;  // as in Row; left: its rest
  double *loss, *square, *k, *pull, *by, *spot_value;  // by: the factor of the row
  int64_t *y, *spot;
  S* factor;  // three numbers of each row, in the dtype of the sums
};

template <class S>
CROSSENT_LOOP Tile<S> tile_for(const Rows& c) {
  static thread_local Scratch memory, numbers, indices;
  // One cache line more than the rows need: else the classes of a row, a power of two apart, would evict each other.
  const int64_t width = (c.tile + 15) / 16 * 16 + 16, area = c.classes * width;
  const bool q = c.q.data || (c.label_smoothing != 0 && c.class_weight);
  Tile<S> t;
  t.width = width;
  S* start = memory.reserve<S>(area * (1 + (changes(c) ? 2 : 0) + (q ? 1 : 0)) + 3 * width);
  t.factor = start, start += 3 * width;
  t.z = start, t.rest = start + area, t.slope = start + 2 * area, t.q = changes(c) ? start + 3 * area : start + area;
  double* next = numbers.reserve<double>(19 * width);
  for (double** array : {&t.m, &t.s, &t.ties, &t.d, &t.t, &t.w, &t.u, &t.own, &t.rows, &t.upstream, &t.z_y, &t.held,
                         &t.left, &t.loss, &t.square, &t.k, &t.pull, &t.by, &t.spot_value})
    *array = next, next += width;
  t.y = indices.reserve<int64_t>(2 * width), t.spot = t.y + width;
  return t;
}

// Whole vectors of a tile's rows, and what is left of them.
template <class Whole, class Rest>
CROSSENT_INLINE void along_rows(int64_t n, int64_t step, const Whole& whole, const Rest& rest) {
  int64_t j = 0;
  for (; j + step <= n; j += step) whole(j);
  if (j < n) rest(j, n - j);
}

// Rows whose classes are contiguous, turned in registers.
template <class S, class T>
CROSSENT_LOOP void load_turned(const T* x, int64_t step, int64_t classes, const Tile<S>& t, S* z) {
  Vector<S> v[lanes<S>];
  for (int64_t j = 0; j < t.full; j += lanes<S>) {
    for (int64_t k = 0; k < classes; k += lanes<S>) {
      const int64_t n = classes - k < lanes<S> ? classes - k : lanes<S>, rows = t.n - j;
      for (int64_t i = 0; i < lanes<S>; ++i) {
        const T* from = x + (j + i) * step + k;
        v[i] = i >= rows ? Vector<S>{} : n == lanes<S> ? read<S>(from) : read_some<S>(from, n, S(0));
      }
      transpose<S>(v);
      for (int64_t i = 0; i < n; ++i) store(z + (k + i) * t.width + j, v[i]);
    }
  }
}

template <class S, class T>
CROSSENT_LOOP void store_turned(T* out, int64_t step, int64_t classes, const Tile<S>& t) {
  Vector<S> v[lanes<S>];
  for (int64_t j = 0; j < t.n; j += lanes<S>) {
    for (int64_t k = 0; k < classes; k += lanes<S>) {
      const int64_t n = classes - k < lanes<S> ? classes - k : lanes<S>, rows = t.n - j < lanes<S> ? t.n - j : lanes<S>;
      for (int64_t i = 0; i < lanes<S>; ++i) v[i] = i < n ? load(t.z + (k + i) * t.width + j) : Vector<S>{};
      transpose<S>(v);
      for (int64_t i = 0; i < rows; ++i) {
        T* to = out + (j + i) * step + k;
        if (n == lanes<S>) write<S>(to, v[i]);
        else write_some<S>(to, v[i], n);
      }
    }
  }
}

template <class S, class T>
CROSSENT_LOOP void load_tile(const T* x, int64_t step, int64_t along, int64_t classes, const Tile<S>& t, S* z) {
  if (along == 1 && classes > 1) return load_turned<S, T>(x, step, classes, t, z);
  for (int64_t k = 0; k < classes && t.n < t.full; ++k)
    for (int64_t j = t.n; j < t.full; ++j) z[k * t.width + j] = 0;
  if (step == 1) {
    for (int64_t k = 0; k < classes; ++k) {
      const T* from = x + k * along;
      S* to = z + k * t.width;
      along_rows(t.n, lanes<S>, [&](int64_t j) { store(to + j, read<S>(from + j)); },
                 [&](int64_t j, int64_t n) { write_some<S>(to + j, read_some<S>(from + j, n, S(0)), n); });
    }
    return;
  }
  for (int64_t j = 0; j < t.n; ++j)
    for (int64_t k = 0; k < classes; ++k) z[k * t.width + j] = widen<S>(x[j * step + k * along]);
}

template <class S, class T>
CROSSENT_LOOP void store_tile(T* out, int64_t step, int64_t along, int64_t classes, const Tile<S>& t) {
  if (along == 1 && classes > 1) return store_turned<S, T>(out, step, classes, t);
  for (int64_t j = 0; j < t.n; ++j)
    for (int64_t k = 0; k < classes; ++k) round_to(out[j * step + k * along], t.z[k * t.width + j]);
}

// The targets and weights of a tile; what does not count is a column of zeros, weighed 0.
template <class S>
CROSSENT_LOOP void load_targets(const Rows& c, int64_t row, const Tile<S>& t) {
  for (int64_t j = 0; j < t.n; ++j) {
    const Target target = target_of<S>(c, row + j);
    t.y[j] = target.live && target.known ? target.y : -1;
    t.own[j] = target.live && !target.known ? nan<double>() : target.own;
    t.rows[j] = target.live ? target.rows : 0.0;
    t.upstream[j] = c.upstream.data ? double(*at<S>(c, c.upstream, row + j)) : 1.0;
    if (target.live) continue;
    for (int64_t k = 0; k < c.classes; ++k) t.z[k * t.width + j] = 0;
  }
  for (int64_t j = t.n; j < t.full; ++j) t.own[j] = t.rows[j] = t.upstream[j] = 0, t.y[j] = -1;
}

template <class S>
CROSSENT_LOOP void load_base(const Rows& c, int64_t row, const Tile<S>& t) {
  const auto* weight = static_cast<const S*>(c.class_weight);
  const S keep = S(1 - c.label_smoothing), even = S(c.label_smoothing / double(c.classes));
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
CROSSENT_LOOP void tile_maxima(const Tile<S>& t, int64_t classes) {
  for (int64_t j = 0; j < t.full; j += lanes<S>) {
    Vector<S> m = all(-infinity<S>());
    for (int64_t k = 0; k < classes; ++k) m = greater(load(t.z + k * t.width + j), m);
    S each[lanes<S>];
    store(each, m);
    for (int64_t i = 0; i < lanes<S>; ++i) t.m[j + i] = double(each[i]);
  }
}

// Soft-cap and temperature: the logits become their distances from their row's maximum.
template <class S>
CROSSENT_LOOP void change_tile(const Rows& c, const Tile<S>& t) {
  const Moved moved(c);
  for (int64_t k = 0; c.softcap != 0 && k < c.classes; ++k)
    slopes_of_block<S, S>(c, t.z + k * t.width, t.full, t.slope + k * t.width);
  for (int64_t j = 0; j < t.full; j += lanes<S>) {
    const Doubles m = load(t.m + j), next_m = load(t.m + j + lanes<S> - lanes<double>);
    const Doubles centre = moved.centre(m), next_centre = moved.centre(next_m);
    for (int64_t k = 0; k < c.classes; ++k) {
      S *z = t.z + k * t.width + j, *rest = t.rest + k * t.width + j;
      if constexpr (std::is_same_v<S, double>) {
        const Difference<Doubles> d = changed_difference(c, load(z), m);
        store(z, d.value), store(rest, d.rest);
      } else {
        const Difference<Floats> d = moved.from(load(z), centre, next_centre);
        store(z, d.value), store(rest, d.rest);
      }
    }
  }
}

// The class of the maximum, before the exponentials overwrite the logits; the first NaN where there is one.
template <class S>
CROSSENT_LOOP void tile_spots(const Tile<S>& t, int64_t classes, bool changed) {
  for (int64_t j = 0; j < t.full; j += lanes<S>) {
    S m[lanes<S>], place[lanes<S>];
    for (int64_t i = 0; i < lanes<S>; ++i) m[i] = changed ? S(0) : S(t.m[j + i]);
    const Vector<S> top = load(m);
    Vector<S> spot = {}, bad = all(S(-1));
    for (int64_t k = classes - 1; k >= 0; --k) {
      const Vector<S> z = load(t.z + k * t.width + j);
      spot = z == top ? all(S(k)) : spot, bad = z != z ? all(S(k)) : bad;
    }
    store(place, bad < 0 ? spot : bad);
    for (int64_t i = 0; i < lanes<S>; ++i) t.spot[j + i] = int64_t(place[i]);
  }
}

}  // namespace CROSSENT_ISA
