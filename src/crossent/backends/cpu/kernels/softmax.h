// softmax, log-softmax and the moments of rows that have no target.
#pragma once

#include "walk.h"

namespace CROSSENT_ISA {

// The first NaN of a row, else the first maximum from class `from` on: what argmax is everywhere.
template <class S, class T, bool plain>
CROSSENT_LOOP int64_t prediction_of(const Rows& c, const T* x, int64_t from, double m, bool bad) {
  if (plain && !bad) return from + place_of<S, T>(x + from, c.classes - from, S(m));
  const S top = S(changed(c, m));
  for (int64_t i = 0; i < c.classes; ++i) {
    const S z = S(changed(c, widen<double>(x[i])));
    if (bad ? z != z : z == top) return i;
  }
  return 0;
}

// The distance of the logits of a row from m, less the logarithm of the sum.
template <class S, class T, bool plain>
CROSSENT_INLINE void give_logs(const Rows& c, const T* x, T* out, T* next, double m, double length, const Buffers<S>& own) {
  for (int64_t i = 0; i < c.classes; i += block) {
    const int64_t n = c.classes - i < block ? c.classes - i : block;
    if (plain) {
      shift_block<S, T, false>(x + i, nullptr, out + i, n, S(m), S(length), i + block < c.classes ? out + i + block : next);
    } else {
      changed_block<S, T>(c, x + i, n, m, own.whole, own.rest);
      shift_block<S, S, true>(own.whole, own.rest, own.slopes, n, S(0), S(length), own.slopes);
      give_block_in(own.slopes, out + i, n);
    }
  }
}

// The statistics of rows, and what they say: as many as are at hand.
struct Several {
  double m[at_once], s[at_once], ties[at_once], u[at_once], lse[at_once], entropy[at_once], confidence[at_once],
      others[at_once];
};

// r, where a row of −∞ alone has none.
template <class D>
CROSSENT_INLINE D r_or_nan(D z_m, const RowOf<D>& f) {
  return z_m == -infinity<double>() ? D{} + nan<double>() : r_of(z_m, f);
}

CROSSENT_LOOP void moments_of(const Rows& c, Several& f) {
  for (int64_t j = 0; j < at_once; j += side) {
    RowOf<Doubles> row = {};
    row.s = load(f.s + j), row.ties = load(f.ties + j);
    const Doubles z = changed(c, load(f.m + j)), r = r_or_nan(z, row), length = log1p_of(r < 0 ? Doubles{} : r);
    const Doubles endless = row.s == row.s ? z : row.s;
    store(f.lse + j, z == infinity<double>() || z == -infinity<double>() ? endless : z + length);
    store(f.entropy + j, length - load(f.u + j) / (1 + r));
    store(f.confidence + j, 1 / (1 + r));
    store(f.others + j, r);
  }
}

template <class S>
CROSSENT_INLINE void give_moments(const Rows& c, int64_t row, int64_t j, const Several& f) {
  if (c.lse.data) *at<S>(c, c.lse, row) = S(f.lse[j]);
  if (c.entropy.data) *at<S>(c, c.entropy, row) = S(f.entropy[j]);
  if (c.confidence.data) *at<S>(c, c.confidence, row) = S(f.confidence[j]);
  if (c.others.data) *at<S>(c, c.others, row) = S(f.others[j]);
}

// n rows of one block, or one row of many: their statistics in `f`, and the scales of their blocks.
template <class S, class T, bool store_e, bool moment, bool plain>
CROSSENT_INLINE void take_rows(const Rows& c, int64_t first, int64_t n, int64_t end, Several& f, const Buffers<S>& own) {
  const Parts& p = own.parts;
  for (int64_t j = 0; j < n; ++j) {
    const T* x = at<const T>(c, c.x, first + j);
    T* out = at<T>(c, c.into, first + j);
    take_row<S, T, Base::none, store_e, moment, plain>(c, first + j, end, j, x, out, nullptr,
                                                       exponentials_in<S, T>(c, j, out, own), -1, own);
  }
  if (c.classes > block) {
    const Row row = merge<S, plain>(c, p, (c.classes + block - 1) / block, 0, 0);
    f.m[0] = row.m, f.s[0] = row.s, f.ties[0] = row.ties, f.u[0] = row.u;
    return;
  }
  const double unit = 1 / double(Format<S>::lifted_one);
  for (int64_t j = 0; j < n; ++j) f.m[j] = p.top[j], f.s[j] = p.s[j] * unit, f.ties[j] = p.ties[j], f.u[j] = p.u[j] * unit;
}

template <class S, class T, bool plain>
CROSSENT_LOOP void softmax_of_rows(const Rows& c, int64_t first, int64_t n, int64_t end, const Buffers<S>& own) {
  Several f = {};
  const bool softmax = c.output == Output::softmax;
  if (softmax) take_rows<S, T, true, false, plain>(c, first, n, end, f, own);
  else take_rows<S, T, false, false, plain>(c, first, n, end, f, own);
  double value[at_once];  // 1/(1 + r), or log(1 + r)
  for (int64_t j = 0; j < at_once; j += side) {
    RowOf<Doubles> row = {};
    row.s = load(f.s + j), row.ties = load(f.ties + j);
    const Doubles r = r_or_nan(changed(c, load(f.m + j)), row);
    store(value + j, softmax ? 1 / (1 + r) : log1p_of(r));
  }
  for (int64_t j = 0; j < n; ++j) {
    const T *x = at<const T>(c, c.x, first + j), *next = first + j + 1 < end ? at<const T>(c, c.x, first + j + 1) : x;
    T* out = at<T>(c, c.into, first + j);
    if (!softmax) {
      T* out_next = first + j + 1 < end ? at<T>(c, c.into, first + j + 1) : out;
      give_logs<S, T, plain>(c, x, out, out_next, f.m[j], value[j], own);
      continue;
    }
    const S* e = exponentials_in<S, T>(c, j, out, own);
    const double share = value[j] * upstream_of<S>(c, first + j);
    for (int64_t i = 0, part = j; i < c.classes; i += block, ++part) {
      const int64_t count = c.classes - i < block ? c.classes - i : block;
      const double scale = c.classes > block ? own.parts.scale[part] : 1 / double(Format<S>::lifted_one);
      const double factor = share * scale;
      const T* ahead = i + block < c.classes ? out + i : next;
      if (is_small(factor)) finish_block<S, T, Base::even>(e + i, nullptr, out + i, count, {S(factor * lift), S(1 / lift), S(0)}, ahead);
      else finish_block<S, T, Base::none>(e + i, nullptr, out + i, count, {S(factor), S(1), S(0)}, ahead);
    }
  }
}

template <class S, class T, bool plain>
CROSSENT_LOOP void moments_of_rows(const Rows& c, int64_t first, int64_t n, int64_t end, const Buffers<S>& own) {
  Several f = {};
  if (c.entropy.data) take_rows<S, T, false, true, plain>(c, first, n, end, f, own);
  else take_rows<S, T, false, false, plain>(c, first, n, end, f, own);
  moments_of(c, f);
  for (int64_t j = 0; j < n; ++j) {
    give_moments<S>(c, first + j, j, f);
    if (!c.prediction.data) continue;
    int64_t from = 0;
    for (int64_t part = j; c.classes > block && own.parts.top[part] != f.m[j] && from + block < c.classes; ++part) from += block;
    const T* x = at<const T>(c, c.x, first + j);
    *at<int64_t>(c, c.prediction, first + j) = prediction_of<S, T, plain>(c, x, from, f.m[j], f.s[j] != f.s[j]);
  }
}

template <class S, class T, bool plain>
void softmax_and_moments(const Rows& c, int64_t begin, int64_t end) {
  const Buffers<S> own = buffers_for<S>(c);
  const int64_t step = c.classes > block ? 1 : at_once;
  for (int64_t row = begin; row < end; row += step) {
    const int64_t n = end - row < step ? end - row : step;
    if (c.output == Output::moments) moments_of_rows<S, T, plain>(c, row, n, end, own);
    else softmax_of_rows<S, T, plain>(c, row, n, end, own);
  }
}

}  // namespace CROSSENT_ISA
