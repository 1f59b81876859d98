// The walk along rows: what is computed from each row's statistics and written in its shape.
#pragma once

#include "target.h"

namespace CROSSENT_ISA {

template <class S>
struct Buffers {  // of one thread
  S* e;       // a row of lifted exponentials
  S* scratch; // room for them
  S* base;    // a row of q, where it has to be made
  S* tops;    // the maximum of each block
  S* logits;  // a block in the dtype of the sums
  S* slopes;
  S* padded;  // the end of a row of q
};

template <class S>
CROSSENT_LOOP Buffers<S> buffers_for(const Rows& c) {
  static thread_local Scratch memory;
  const int64_t row = (c.classes + 63) / 64 * 64, blocks = c.classes / block + 64;
  S* start = memory.reserve<S>(2 * row + blocks + 3 * block);
  return {start, start, start + row, start + 2 * row, start + 2 * row + blocks, start + 2 * row + blocks + block,
          start + 2 * row + blocks + 2 * block};
}

// Memory that is read (0) or written (1) next is on its way while this block is computed.
template <int write, class T>
CROSSENT_INLINE void expect(const T* next, int64_t n) {
#if defined(__GNUC__)
  for (int64_t i = 0; i < n; i += 64 / int64_t(sizeof(T))) __builtin_prefetch(next + i, write, 2);
#endif
}

// Where the exponentials of a row are kept: where its gradient will be, if that has room for them.
template <class S, class T>
CROSSENT_INLINE S* exponentials_in(const Rows& c, T* out, const Buffers<S>& own) {
  if constexpr (std::is_same_v<S, T>) {
    if (out && c.softcap == 0) return out;
  }
  return own.scratch;
}

template <class S>
CROSSENT_INLINE S* exponentials_of_block(const Rows& c, int64_t i, const Buffers<S>& own) {
  const bool whole = (i + block <= c.classes) || c.classes % lanes == 0;
  return (whole ? own.e : own.scratch) + i;
}

template <class S>
CROSSENT_INLINE S exponential_at(const Rows& c, int64_t i, const Buffers<S>& own) {
  return exponentials_of_block(c, i / block * block, own)[i % block];
}

template <class S>
CROSSENT_LOOP void pad(const S* x, S* out, int64_t n, int64_t full, S value) {
  if (out != x) std::memcpy(out, x, size_t(n) * sizeof(S));
  for (int64_t i = n; i < full; ++i) out[i] = value;
}

template <class S, class T, Base base, bool store, bool moment>
CROSSENT_LOOP Stats<S> row_stats(const Rows& c, const T* x, const S* q, const T* out, const Buffers<S>& own) {
  Stats<S> all;
  for (int64_t i = 0; i < c.classes; i += block) {
    const int64_t n = c.classes - i < block ? c.classes - i : block, full = (n + lanes - 1) / lanes * lanes;
    if (out) expect<1>(out + i, n);
    if (sizeof(T) < 4 || (out && i + block < c.classes)) expect<0>(x + i + block, n);  // elsewhere the processor does it
    const S* z = load_block<S, T>(c, x + i, n, own.logits);
    const S* q_block = base == Base::row ? q + i : nullptr;
    if (full != n) {
      pad(z, own.logits, n, full, -infinity<S>()), z = own.logits;
      if (base == Base::row) pad(q_block, own.padded, n, full, S(0)), q_block = own.padded;
    }
    Stats<S> part = block_stats<S, base, store, moment>(z, q_block, exponentials_of_block(c, i, own), full, n);
    part.first = i;
    own.tops[i / block] = part.m;
    all = i == 0 ? part : merge(all, part);
  }
  return all;
}

// What a block's lifted exponentials are multiplied by to be those of z − m.
template <class S>
CROSSENT_INLINE S block_scale(S top, S m) {
  if (top == m) return 1 / one<S>();  // a row of one block has nothing to wait for
  return top == -infinity<S>() ? S(0) : exp_of(top - m) / one<S>();
}

template <class S, class T>
CROSSENT_INLINE S slope_at(const Rows& c, const T* x, int64_t i) {
  return c.softcap == 0 ? S(1) : tanh_slope(widen<S>(x[i]) / S(c.softcap));
}

// The gradient by the logits of a block becomes that by x: the derivative of the soft-cap at x multiplies it.
template <class S>
CROSSENT_LOOP void apply_slopes(S* g, const S* x, int64_t n, S cap) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) g[i] *= tanh_slope(x[i] / cap);
}

template <class S>
CROSSENT_LOOP S sum(const S* q, int64_t n) {
  S total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) total += q[i];
  return total;
}

template <class S, class T, Base base>
CROSSENT_LOOP void write_gradient(const Rows& c, const T* x, const S* q, T* out, const Stats<S>& s, const Factors<S>& f,
                                const Target<S>& target, const Buffers<S>& own) {
  const S factor = f.scale * f.k + f.lse_pull, even = f.scale * (base == Base::even ? target.even : S(1));
  const int64_t y = target.y;
  int64_t spot = y;  // where the accurate form is due: at the class index, or at the maximum
  if (base == Base::row && y < 0) {
    spot = s.first;
    const S* e = exponentials_of_block(c, spot, own) - spot;
    while (spot < c.classes - 1 && e[spot] != one<S>()) ++spot;
  }
  const S e_spot = spot < 0 ? S(0) : exponential_at(c, spot, own) * block_scale(own.tops[spot / block], s.m);
  const bool top = spot >= 0 && own.tops[spot / block] == s.m && exponential_at(c, spot, own) == one<S>();
  const S slope = spot < 0 ? S(1) : slope_at<S, T>(c, x, spot);
  for (int64_t i = 0; i < c.classes; i += block) {
    const int64_t n = c.classes - i < block ? c.classes - i : block;
    const S scaled = factor * block_scale(own.tops[i / block], s.m);
    const S* q_block = base == Base::row ? q + i : nullptr;
    if (c.softcap == 0) {
      finish_block<S, T, base>(exponentials_of_block(c, i, own), q_block, out + i, n, scaled, even);
      continue;
    }
    widen_block(x + i, own.slopes, n);
    finish_block<S, S, base>(exponentials_of_block(c, i, own), q_block, own.logits, n, scaled, even);
    apply_slopes(own.logits, own.slopes, n, S(c.softcap));
    round_block(own.logits, out + i, n);
  }
  if (spot < 0) return;
  const S mass = target.own + (base == Base::even ? target.even : base == Base::row ? q[spot] : S(0));
  const S rest = base == Base::even ? target.even * S(c.classes - 1)
                 : base == Base::row ? sum(q, spot) + sum(q + spot + 1, c.classes - spot - 1) : S(0);
  const S g = f.scale * (top ? at_top(mass, rest, f.k, s.r()) : f.k * e_spot - mass) + f.lse_pull * e_spot;
  round_to(out[spot], g * slope);
}

// A row without a gradient, or one that is NaN.
template <class S, class T>
CROSSENT_LOOP void fill_row(T* out, int64_t n, S value) {
  for (int64_t i = 0; i < n; ++i) round_to(out[i], value);
}

// A row of q apart from a class index's own mass: smoothed, weighted, contiguous.
template <class S>
CROSSENT_LOOP const S* base_row(const Rows& c, int64_t row, const Buffers<S>& own) {
  const S *q = at<const S>(c, c.q, row), *weight = static_cast<const S*>(c.class_weight);
  if (q && !weight && c.label_smoothing == 0 && c.q.along == 1) return q;
  const S keep = S(1) - S(c.label_smoothing), even = S(c.label_smoothing) / S(c.classes);
  const int64_t along = c.q.along;
  for (int64_t i = 0; i < c.classes; ++i) {
    const S mass = (q ? keep * q[i * along] : S(0)) + even;
    own.base[i] = weight ? times(mass, weight[i]) : mass;
  }
  return own.base;
}

template <class S, class T, Base base>
CROSSENT_LOOP void loss_of_row(const Rows& c, int64_t row, const S* q, Buffers<S>& own, const Scales<S>& scales) {
  const T* x = at<const T>(c, c.x, row);
  T* out = at<T>(c, c.into, row);
  own.e = exponentials_in(c, out, own);
  const Target<S> target = target_of<S>(c, row, scales.even);
  S loss = 0, square = 0;
  if (target.live && target.known) {
    if (base == Base::row && c.q.data) q = base_row(c, row, own);
    const S given = target.y < 0 ? S(0) : logit_at<S, T>(c, x, target.y);  // before it may be overwritten
    const Stats<S> s = out ? row_stats<S, T, base, true, false>(c, x, q, out, own)
                           : row_stats<S, T, base, false, false>(c, x, q, out, own);
    const S z_y = target.y < 0 ? s.m : given;
    const S upstream = c.upstream.data ? *at<S>(c, c.upstream, row) : S(1);
    const Factors<S> f =
        factors_of<S, base>(scales, s, target.own, target.even, target.rows, upstream, z_y);
    loss = f.loss, square = f.square;
    if (out) write_gradient<S, T, base>(c, x, q, out, s, f, target, own);
  } else if (target.live) {
    loss = square = nan<S>();
    if (out) fill_row(out, c.classes, loss);
  } else if (out) {
    fill_row(out, c.classes, S(0));
  }
  if (c.loss.data) *at<S>(c, c.loss, row) = loss;
  if (c.square.data) *at<S>(c, c.square, row) = square;
}

template <class S, class T>
void walk_losses(const Rows& c, int64_t begin, int64_t end) {
  Buffers<S> own = buffers_for<S>(c);
  const Scales<S> scales(c);
  const bool even = c.label_smoothing != 0 && !c.q.data;
  if (even && c.class_weight) {
    const S* q = base_row(c, 0, own);
    for (int64_t row = begin; row < end; ++row) loss_of_row<S, T, Base::row>(c, row, q, own, scales);
  } else if (c.q.data) {
    for (int64_t row = begin; row < end; ++row) loss_of_row<S, T, Base::row>(c, row, nullptr, own, scales);
  } else if (even) {
    for (int64_t row = begin; row < end; ++row) loss_of_row<S, T, Base::even>(c, row, nullptr, own, scales);
  } else {
    for (int64_t row = begin; row < end; ++row) loss_of_row<S, T, Base::none>(c, row, nullptr, own, scales);
  }
}

template <class S>
CROSSENT_INLINE S lse_of(const Stats<S>& s) {
  if (s.m == infinity<S>() || s.m == -infinity<S>()) return s.s == s.s ? s.m : s.s;
  return s.m + log1p_of(s.r());
}

template <class S>
CROSSENT_LOOP void shift_block(const S* z, S* out, int64_t n, S m, S length) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = (z[i] - m) - length;
}

template <class S, class T>
void walk_softmax(const Rows& c, int64_t begin, int64_t end) {
  Buffers<S> own = buffers_for<S>(c);
  for (int64_t row = begin; row < end; ++row) {
    const T* x = at<const T>(c, c.x, row);
    T* out = at<T>(c, c.into, row);
    const bool softmax = c.output == Output::softmax;
    if (softmax) own.e = exponentials_in(c, out, own);
    const Stats<S> s = softmax ? row_stats<S, T, Base::none, true, false>(c, x, nullptr, out, own)
                               : row_stats<S, T, Base::none, false, false>(c, x, nullptr, out, own);
    const S r = s.m == -infinity<S>() ? nan<S>() : s.r(), length = r == r ? log1p_of(r) : r;
    for (int64_t i = 0; i < c.classes; i += block) {
      const int64_t n = c.classes - i < block ? c.classes - i : block;
      if (softmax) {
        const S factor = block_scale(own.tops[i / block], s.m) / (1 + r);
        finish_block<S, T, Base::none>(exponentials_of_block(c, i, own), nullptr, out + i, n, factor, S(0));
        continue;
      }
      const S* z = load_block<S, T>(c, x + i, n, own.logits);
      shift_block(z, own.logits, n, s.m, length);
      round_block(own.logits, out + i, n);
    }
  }
}

// The first NaN of a row, else the first maximum: what argmax is everywhere.
template <class S, class T>
CROSSENT_INLINE int64_t prediction_of(const Rows& c, const T* x, const Stats<S>& s) {
  const bool bad = s.s != s.s;
  for (int64_t i = bad ? 0 : s.first; i < c.classes; ++i) {
    const S z = logit_at<S, T>(c, x, i);
    if (bad ? z != z : z == s.m) return i;
  }
  return 0;
}

template <class S, class T>
void walk_moments(const Rows& c, int64_t begin, int64_t end) {
  Buffers<S> own = buffers_for<S>(c);
  for (int64_t row = begin; row < end; ++row) {
    const T* x = at<const T>(c, c.x, row);
    const bool moment = c.entropy.data != nullptr;
    const Stats<S> s = moment ? row_stats<S, T, Base::none, false, true>(c, x, nullptr, nullptr, own)
                              : row_stats<S, T, Base::none, false, false>(c, x, nullptr, nullptr, own);
    const S r = s.m == -infinity<S>() ? nan<S>() : s.r();
    if (c.lse.data) *at<S>(c, c.lse, row) = lse_of(s);
    if (moment) *at<S>(c, c.entropy, row) = (r == r ? log1p_of(r) : r) - s.u / (1 + r);
    if (c.confidence.data) *at<S>(c, c.confidence, row) = 1 / (1 + r);
    if (c.prediction.data) *at<int64_t>(c, c.prediction, row) = prediction_of<S, T>(c, x, s);
  }
}

}  // namespace CROSSENT_ISA
