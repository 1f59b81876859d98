// Losses and their gradients, along rows.
#pragma once

#include "walk.h"

namespace CROSSENT_ISA {

template <class S>
CROSSENT_INLINE void give_losses(const Rows& c, int64_t row, double loss, double square) {
  if (c.loss.data) *at<S>(c, c.loss, row) = S(loss);
  if (c.square.data) *at<S>(c, c.square, row) = S(square);
}

// A row on its own: of many blocks, or with a row of q.
template <class S, class T, Base base, bool plain>
CROSSENT_LOOP void loss_of_row(const Rows& c, int64_t row, int64_t end, const S* q, const Scales& scales, const Buffers<S>& own) {
  const T* x = at<const T>(c, c.x, row);
  T* out = at<T>(c, c.into, row);
  const Target target = target_of<S>(c, row);
  if (!target.live || !target.known) {
    const double value = target.live ? nan<double>() : 0.0;
    if (out) fill_row(out, c.classes, S(value));
    return give_losses<S>(c, row, value, value);
  }
  if (base == Base::row && c.q.data) q = base_row(c, row, own);
  const double z_y = target.y < 0 ? 0.0 : widen<double>(x[target.y]);  // before it may be overwritten
  S* e = exponentials_in<S, T>(c, 0, out, own);
  const Spot spot = out ? take_row<S, T, base, true, false, plain>(c, row, end, 0, x, out, q, e, target.y, own)
                        : take_row<S, T, base, false, false, plain>(c, row, end, 0, x, out, q, e, target.y, own);
  const int64_t blocks = (c.classes + block - 1) / block;
  Row f = merge<S, plain>(c, own.parts, blocks, base == Base::row ? double(q[spot.place]) : 0.0, spot.part);
  f.own = target.own, f.rows = target.rows, f.upstream = upstream_of<S>(c, row), f.z_y = target.y < 0 ? f.m : z_y;
  finish_row<base, plain>(c, scales, target.y >= 0, f);
  give_losses<S>(c, row, f.loss, f.square);
  if (!out) return;
  const T* next = row + 1 < end ? at<const T>(c, c.x, row + 1) : x;
  give_row<S, T, base>(c, 0, x, e, q, out, next, f, scales.even, spot.place, own);
}

template <class S, class T, Base base, bool plain>
CROSSENT_LOOP void losses_of_few(const Rows& c, int64_t first, int64_t n, int64_t end, const Scales& scales,
                                 const Buffers<S>& own) {
  Few f = {};
  for (int64_t j = 0; j < n; ++j) {
    const int64_t row = first + j;
    const Target target = target_of<S>(c, row);
    const bool counts = target.live && target.known;
    f.y[j] = counts ? target.y : -1;
    f.own[j] = target.live && !target.known ? nan<double>() : counts ? target.own : 0.0;
    f.rows[j] = target.live ? target.rows : 0.0;  // a row that does not count is left as a row of weight 0
    f.upstream[j] = upstream_of<S>(c, row);
    own.parts.ties[j] = 1;
    own.parts.top[j] = own.parts.s[j] = own.parts.d[j] = f.z_y[j] = 0;
    if (!counts) continue;
    const T* x = at<const T>(c, c.x, row);
    T* out = at<T>(c, c.into, row);
    S* e = exponentials_in<S, T>(c, j, out, own);
    f.z_y[j] = widen<double>(x[target.y]);
    if (out) take_row<S, T, base, true, false, plain>(c, row, end, j, x, out, nullptr, e, target.y, own);
    else take_row<S, T, base, false, false, plain>(c, row, end, j, x, out, nullptr, e, target.y, own);
  }
  for (int64_t j = 0; j < at_once; ++j) {
    f.m[j] = own.parts.top[j], f.ties[j] = own.parts.ties[j], f.d[j] = own.parts.d[j];
    f.s[j] = own.parts.s[j] / double(Format<S>::lifted_one);
  }
  finish_few<base, plain>(c, scales, f);
  for (int64_t j = 0; j < n; ++j) {
    const int64_t row = first + j;
    give_losses<S>(c, row, f.loss[j], f.square[j]);
    T* out = at<T>(c, c.into, row);
    if (!out) continue;
    if (f.y[j] < 0) {
      fill_row(out, c.classes, S(f.own[j]));
      continue;
    }
    Row it = {};
    it.k = f.k[j], it.pull = f.pull[j], it.scale = f.scale[j], it.spot = f.spot[j];
    const T* x = at<const T>(c, c.x, row);
    const S* e = exponentials_in<S, T>(c, j, out, own);
    give_row<S, T, base>(c, j, x, e, nullptr, out, out, it, scales.even, f.y[j], own);
  }
}

template <class S, class T, bool plain>
void losses(const Rows& c, int64_t begin, int64_t end) {
  const Buffers<S> own = buffers_for<S>(c);
  const Scales scales(c);
  const bool even = c.label_smoothing != 0 && !c.q.data;
  if (c.q.data || (even && c.class_weight)) {
    const S* q = c.q.data ? nullptr : base_row(c, 0, own);
    for (int64_t row = begin; row < end; ++row) loss_of_row<S, T, Base::row, plain>(c, row, end, q, scales, own);
  } else if (c.classes > block) {
    for (int64_t row = begin; row < end; ++row) {
      if (even) loss_of_row<S, T, Base::even, plain>(c, row, end, nullptr, scales, own);
      else loss_of_row<S, T, Base::none, plain>(c, row, end, nullptr, scales, own);
    }
  } else {
    for (int64_t row = begin; row < end; row += at_once) {
      const int64_t n = end - row < at_once ? end - row : at_once;
      if (even) losses_of_few<S, T, Base::even, plain>(c, row, n, end, scales, own);
      else losses_of_few<S, T, Base::none, plain>(c, row, n, end, scales, own);
    }
  }
}

}  // namespace CROSSENT_ISA
