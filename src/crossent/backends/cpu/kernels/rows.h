// One block of a row of logits whose classes are contiguous: its maximum, its exponentials and sums, its gradient.
//
// First pass over a block of classes, in L1: its maximum, then e = exp(z − maximum), lifted, into memory that stays in L2
// (the gradient's own where it has the dtype of the sums), and its sums. z − maximum is taken with what its rounding
// leaves out, so that e is right to one unit in the last place however improbable the class. Second pass: each block's e
// times its factor (w/(1 + r)·exp(its maximum − m)), less q. One exponential an element; the memory that the next block needs is
// fetched line by line while this one is computed, so that the two overlap.
// Memory traffic an element: size of x read, size of x written; loss alone: size of x read.
#pragma once

#include "kernels.h"
#include "lanes.h"
#include "scratch.h"

namespace CROSSENT_ISA {

using crossent::Array;
using crossent::Output;
using crossent::Rows;

constexpr int64_t block = 2048;
constexpr int64_t together = 4;  // vectors that are worked on at once
constexpr int64_t chunk = 16;     // vectors that are summed before their sum goes to a Total
constexpr double spare = 64;      // z − m is divided by it where it is summed over all classes: each fits, their sum may not

// What q holds besides the mass of a class index: nothing, the same for every class, or a row of numbers.
enum class Base { none, even, row };

template <class S>
CROSSENT_INLINE S centre_of(S m) {
  return m == -Format<S>::infinity ? S{} : m;
}

template <class S>
CROSSENT_INLINE S times(S q, S x) {  // 0·x = 0, for every x
  return q == 0 ? S{} : q * x;
}

// z − m for z ≤ m, and what its rounding leaves: of the smaller of z and −m, which is what the sum loses, exactly.
template <class V>
CROSSENT_INLINE Difference<V> below(V z, V m) {
  const V d = z - m, low = lesser(z, -m), high = greater(z, -m);
  return {d, high - (d - low)};
}

// Of a block, in float64: s without the maximum's own terms, which are counted; d = Σ(z − m)/2 and t = Σ q·(z − m)/2,
// halved so that they overflow only where the loss does; w of the classes below the maximum, own of those at it.
struct Sums {
  double s = 0, ties = 0, d = 0, t = 0, w = 0, own = 0, u = 0;
};

// What is read and written next: prefetched, never touched.
template <class S, class T>
struct Ahead {
  const T* x;
  T* out;
  const S* q;
};

template <class S, class T>
CROSSENT_LOOP S top_of(const T* x, int64_t n) {
  constexpr int64_t step = together * lanes<S>;
  Vector<S> m[together];
  for (Vector<S>& part : m) part = all(-infinity<S>());
  int64_t i = 0;
  for (; i + step <= n; i += step)
    for (int64_t a = 0; a < together; ++a) m[a] = greater(read<S>(x + i + a * lanes<S>), m[a]);
  for (; i + lanes<S> <= n; i += lanes<S>) m[0] = greater(read<S>(x + i), m[0]);
  if (i < n) m[1] = greater(read_some<S>(x + i, n - i, -infinity<S>()), m[1]);
  return greatest<S>(greater(greater(m[0], m[1]), greater(m[2], m[3])));
}

// The place of the first number that is `top`; 0 where there is none.
template <class S, class T>
CROSSENT_LOOP int64_t place_of(const T* x, int64_t n, S top) {
  int64_t i = 0;
  while (i + lanes<S> <= n && !holds<S>(read<S>(x + i), all(top))) i += lanes<S>;
  while (i < n && widen<S>(x[i]) != top) ++i;
  return i < n ? i : 0;
}

template <class S>
struct Partial {  // of the vectors of a chunk
  Vector<S> s = {}, d = {}, t = {}, t_rest = {}, w = {}, own = {}, u = {};
};

// `rest`, where `apart`: what each z of x leaves out. m is the maximum; e_out may be x.
template <class S, class T, Base base, bool store_e, bool moment, bool apart>
CROSSENT_LOOP Sums sums_of(const T* x, const S* rest, const S* q, S* e_out, int64_t n, S m, const Ahead<S, T>& ahead) {
  using V = Vector<S>;
  constexpr int64_t step = together * lanes<S>;
  const V top = all(m), centre = all(centre_of(m)), half_m = centre / 2;
  typename Tops<S>::Count ties;
  Total<S> s, d, t, w, own, u;
  const auto one_vector = [&](V z, V rest_z, V q_z, Partial<S>& p, auto live) -> V {
    const Difference<V> gap = apart ? Difference<V>{z, rest_z} : below(z, centre);
    const V e = lifted_exp(gap.value, gap.rest);
    const Tops<S> tops(z, top);
    tops.add_others(p.s, e);
    tops.count(ties);
    const V half_d = z / 2 - half_m;
    if (base == Base::even) p.d += live ? half_d / S(spare) : V{};
    if (base == Base::row) {
      p.t += q_z == 0 ? V{} : q_z * half_d;
      p.t_rest += gap.value > -infinity<S>() ? q_z * gap.rest : V{};  // of an infinity nothing is left
      tops.add_others(p.w, q_z);
      tops.add_tops(p.own, q_z);
    }
    if (moment) p.u += e == 0 ? V{} : e * (2 * half_d);
    return e;
  };
  const auto every = first_lanes<S>(lanes<S>);
  const auto at = [&](int64_t i, Partial<S>& p) {
    const V e = one_vector(read<S>(x + i), apart ? load(rest + i) : V{}, base == Base::row ? load(q + i) : V{}, p, every);
    if (store_e) store(e_out + i, e);
  };
  const auto sum_up = [&](const Partial<S>* p, int64_t count) {
    for (int64_t a = 0; a < count; a += 2) {
      const int64_t b = a + 1;
      s.add(p[a].s + p[b].s);
      if (base == Base::even) d.add(p[a].d + p[b].d);
      if (base == Base::row) t.add(p[a].t + p[b].t), t.add((p[a].t_rest + p[b].t_rest) / 2), w.add(p[a].w + p[b].w), own.add(p[a].own + p[b].own);
      if (moment) u.add(p[a].u + p[b].u);
    }
  };
  int64_t i = 0;
  for (const int64_t whole = n / step * step; i < whole;) {
    const int64_t end = i + chunk * lanes<S> < whole ? i + chunk * lanes<S> : whole;
    Partial<S> p[together];
    for (; i < end; i += step) {
#pragma GCC unroll 4
      for (int64_t a = 0; a < together; ++a) {
        const int64_t place = i + a * lanes<S>;
        at(place, p[a]);
        if (a * lanes<S> * int64_t(sizeof(T)) % 64 == 0) {
          expect_read(ahead.x + place);
          if (store_e) expect_write(ahead.out + place);
        }
        if (base == Base::row && a * lanes<S> * int64_t(sizeof(S)) % 64 == 0) expect_read(ahead.q + place);
      }
    }
    sum_up(p, together);
  }
  Partial<S> p[2];
  expect_read(ahead.x + i);
  if (store_e) expect_write(ahead.out + i);
  for (; i + lanes<S> <= n; i += lanes<S>) at(i, p[0]);
  int64_t seen = i;
  if (i < n) {
    const V rest_z = apart ? read_some<S>(rest + i, n - i, S(0)) : V{};
    const V q_z = base == Base::row ? read_some<S>(q + i, n - i, S(0)) : V{};
    const V e = one_vector(read_some<S>(x + i, n - i, -infinity<S>()), rest_z, q_z, p[1], first_lanes<S>(n - i));
    if (store_e) write_some<S>(e_out + i, e, n - i);
    seen += lanes<S>;
  }
  sum_up(p, 2);
  Sums out;
  out.s = s.value(), out.ties = m == -infinity<S>() ? 0 : double(ties.value(seen));
  if (base == Base::even) out.d = d.value() * spare;
  if (base == Base::row) out.t = t.value(), out.w = w.value(), out.own = own.value();
  if (moment) out.u = u.value();
  return out;
}

// What a block's gradient is made with: scale·(factor·e − q), where q is 0, `even`, or a row; factor·e alone for none.
template <class S>
struct Finish {
  S factor, scale, even;
};

template <class S, class T, Base base>
CROSSENT_LOOP void finish_block(const S* e, const S* q, T* out, int64_t n, const Finish<S>& f, const T* ahead) {
  using V = Vector<S>;
  const V factor = all(f.factor), scale = all(f.scale), even = all(f.even);
  const auto finished = [&](V e_i, V q_i) -> V {
    return base == Base::none ? factor * e_i : scale * (factor * e_i - (base == Base::even ? even : q_i));
  };
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) {
    write<S>(out + i, finished(load(e + i), base == Base::row ? load(q + i) : V{}));
    expect_read(ahead + i);
  }
  if (i == n) return;
  const V q_end = base == Base::row ? read_some<S>(q + i, n - i, S(0)) : V{};
  write_some<S>(out + i, finished(read_some<S>(e + i, n - i, S(0)), q_end), n - i);
}

// A block in the caller's dtype.
template <class S, class T>
CROSSENT_LOOP void give_block_in(const S* x, T* out, int64_t n) {
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) write<S>(out + i, load(x + i));
  if (i < n) write_some<S>(out + i, read_some<S>(x + i, n - i, S(0)), n - i);
}

// z − m − length, with what z leaves out where `apart`: log-softmax. `ahead` is written next.
template <class S, class T, bool apart>
CROSSENT_LOOP void shift_block(const T* x, const S* rest, T* out, int64_t n, S m, S length, T* ahead) {
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) {
    write<S>(out + i, (read<S>(x + i) - all(m)) - (apart ? all(length) - load(rest + i) : all(length)));
    expect_write(ahead + i);
  }
  if (i == n) return;
  const Vector<S> rest_z = apart ? read_some<S>(rest + i, n - i, S(0)) : Vector<S>{};
  write_some<S>(out + i, (read_some<S>(x + i, n - i, S(0)) - all(m)) - (all(length) - rest_z), n - i);
}

}  // namespace CROSSENT_ISA
