// The walk along rows: what is computed from each row's statistics and written in its shape. Rows of one block are taken
// some at a time: what is one number a row (logarithm, divisions) is computed for all of them at once, in vectors, and no
// row waits for the one before it.
#pragma once

#include "parts.h"

namespace CROSSENT_ISA {

template <class S>
CROSSENT_INLINE double upstream_of(const Rows& c, int64_t row) {
  return c.upstream.data ? double(*at<S>(c, c.upstream, row)) : 1.0;
}

template <class S>
struct Buffers {  // of one thread
  S* e;       // exponentials of the rows at hand, where they are not kept in the gradient
  S* base;    // a row of q, where it has to be made
  S *whole, *rest, *slopes;  // a block of changed logits, in two parts; the derivative of the soft-cap
  Parts parts;
};

template <class S>
CROSSENT_LOOP Buffers<S> buffers_for(const Rows& c) {
  static thread_local Scratch memory, numbers;
  const int64_t row = (c.classes + 15) / 16 * 16, parts = parts_of(c);
  S* start = memory.reserve<S>((c.classes > block ? row : at_once * row) + row + 3 * block);
  S* base = start + (c.classes > block ? row : at_once * row);
  return {start, base, base + row, base + row + block, base + row + 2 * block,
          lay_out(numbers.reserve<double>(10 * parts), parts)};
}

// What is fetched while a block is worked on.
template <class S, class T>
CROSSENT_INLINE Ahead<S, T> after(const Rows& c, int64_t row, int64_t end, int64_t i, const T* x, T* out, const S* q) {
  if (i + block < c.classes) return {x + i + block, out ? out + i + block : out, q ? q + i + block : q};
  if (row + 1 == end) return {x + i, out ? out + i : out, q ? q + i : q};
  const S* next = q && c.q.data ? at<const S>(c, c.q, row + 1) : q;
  return {at<const T>(c, c.x, row + 1), at<T>(c, c.into, row + 1), next};
}

struct Spot {  // where an accurate form is due; in which block
  int64_t place = -1, part = 0;
};

template <class S, class T, Base base, bool store_e, bool moment, bool plain>
CROSSENT_INLINE Spot take_row(const Rows& c, int64_t row, int64_t end, int64_t part, const T* x, T* out, const S* q, S* e,
                              int64_t y, const Buffers<S>& own) {
  Spot spot{y, y < 0 ? 0 : y / block};
  S highest = -infinity<S>();
  for (int64_t i = 0; i < c.classes; i += block, ++part) {
    const int64_t n = c.classes - i < block ? c.classes - i : block;
    const S top = top_of<S, T>(x + i, n), *q_block = base == Base::row ? q + i : nullptr;
    const Ahead<S, T> ahead = after<S, T>(c, row, end, i, x, out, q);
    if (base == Base::row && y < 0 && (i == 0 || top > highest))
      highest = top, spot = {i + place_of<S, T>(x + i, n, top), i / block};
    if constexpr (plain) {
      put(own.parts, part, top, sums_of<S, T, base, store_e, moment, false>(x + i, nullptr, q_block, e + i, n, top, ahead));
    } else {
      changed_block<S, T>(c, x + i, n, double(top), own.whole, own.rest);
      const Ahead<S, S> none{own.whole, own.whole, q_block};
      put(own.parts, part, top, sums_of<S, S, base, store_e, moment, true>(own.whole, own.rest, q_block, e + i, n, S(0), none));
    }
  }
  return spot;
}

// A factor that the dtype cannot hold is taken in two: times `lift`, and divided by it.
constexpr double lift = 0x1p60;
CROSSENT_INLINE bool is_small(double factor) { return factor < 0x1p-100 && factor > -0x1p-100; }

// The gradient of a block: scale·(factor·e − q), by x where the logits are soft-capped.
template <class S, class T, Base base>
CROSSENT_INLINE void give_block(const Rows& c, int64_t i, const T* x, const S* e, const S* q, T* out, const Finish<S>& f,
                                const T* ahead, const Buffers<S>& own) {
  const int64_t n = c.classes - i < block ? c.classes - i : block;
  const S* q_block = base == Base::row ? q + i : nullptr;
  if (c.softcap == 0) return finish_block<S, T, base>(e + i, q_block, out + i, n, f, ahead);
  slopes_of_block<S, T>(c, x + i, n, own.slopes);
  finish_block<S, S, base>(e + i, q_block, own.whole, n, f, own.whole);
  give_product(own.whole, own.slopes, out + i, n);
}

template <class S, class T, Base base>
CROSSENT_INLINE void give_row(const Rows& c, int64_t part, const T* x, const S* e, const S* q, T* out, const T* next,
                              const Row& f, double even, int64_t spot, const Buffers<S>& own) {
  const double slope = spot < 0 || c.softcap == 0 ? 1.0 : slope_of(c.softcap, widen<double>(x[spot]));
  for (int64_t i = 0; i < c.classes; i += block, ++part) {
    const double scale = c.classes > block ? own.parts.scale[part] : 1 / double(Format<S>::lifted_one);
    const T* ahead = i + block < c.classes ? out + i : next;
    if (base == Base::none || f.scale == 0) {
      const double factor = (f.scale * f.k + f.pull) * scale;
      if (is_small(factor)) give_block<S, T, Base::even>(c, i, x, e, q, out, {S(factor * lift), S(1 / lift), S(0)}, ahead, own);
      else give_block<S, T, Base::none>(c, i, x, e, q, out, {S(factor), S(1), S(0)}, ahead, own);
      continue;
    }
    const double factor = (f.k + f.pull / f.scale) * scale;
    give_block<S, T, base>(c, i, x, e, q, out, {S(factor), S(f.scale), S(even)}, ahead, own);
  }
  if (spot >= 0) round_to(out[spot], f.spot * slope);
}

// A row without a gradient, or one that is NaN.
template <class S, class T>
CROSSENT_LOOP void fill_row(T* out, int64_t n, S value) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) round_to(out[i], value);
}

// A row of q apart from a class index's own mass: smoothed, weighted, contiguous.
template <class S>
CROSSENT_LOOP const S* base_row(const Rows& c, int64_t row, const Buffers<S>& own) {
  const S *q = at<const S>(c, c.q, row), *weight = static_cast<const S*>(c.class_weight);
  if (q && !weight && c.label_smoothing == 0 && c.q.along == 1) return q;
  const S keep = S(1 - c.label_smoothing), even = S(c.label_smoothing / double(c.classes));
  const int64_t along = c.q.along;
#pragma omp simd
  for (int64_t i = 0; i < c.classes; ++i) own.base[i] = (q ? keep * q[i * along] : S(0)) + even;
  if (!weight) return own.base;
#pragma omp simd
  for (int64_t i = 0; i < c.classes; ++i) own.base[i] = times(own.base[i], weight[i]);
  return own.base;
}

// Where the exponentials of row j of those at hand are kept: where its gradient will be, if that has room for them.
template <class S, class T>
CROSSENT_INLINE S* exponentials_in(const Rows& c, int64_t j, T* out, const Buffers<S>& own) {
  if constexpr (std::is_same_v<S, T>) {
    if (out && c.softcap == 0) return out;
  }
  return own.e + j * ((c.classes + 15) / 16 * 16);
}

// The rows at hand: the numbers of Row, and of their targets, each in an array.
struct Few {
  double m[at_once], s[at_once], ties[at_once], d[at_once], own[at_once], rows[at_once], upstream[at_once], z_y[at_once];
  double loss[at_once], square[at_once], k[at_once], pull[at_once], scale[at_once], spot[at_once];
  int64_t y[at_once];
};

template <Base base, bool plain>
CROSSENT_LOOP void finish_few(const Rows& c, const Scales& scales, Few& f) {
  for (int64_t j = 0; j < at_once; j += side) {
    RowOf<Doubles> row = {};
    row.m = load(f.m + j), row.s = load(f.s + j), row.ties = load(f.ties + j), row.d = load(f.d + j);
    row.own = load(f.own + j), row.rows = load(f.rows + j), row.upstream = load(f.upstream + j), row.z_y = load(f.z_y + j);
    finish_row<base, plain>(c, scales, true, row);
    store(f.loss + j, row.loss), store(f.square + j, row.square), store(f.k + j, row.k);
    store(f.pull + j, row.pull), store(f.scale + j, row.scale), store(f.spot + j, row.spot);
  }
}

}  // namespace CROSSENT_ISA
