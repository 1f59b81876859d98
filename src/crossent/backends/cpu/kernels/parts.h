// The blocks of a row, and how their statistics are joined: as `merge` in crossent/_definition.py has it, all at once.
#pragma once

#include <initializer_list>

#include "target.h"

namespace CROSSENT_ISA {

constexpr int64_t at_once = 16;  // rows of one block that are worked on together

// The numbers of each block: of one row, or of rows of one block.
struct Parts {
  double* top;  // the maximum
  double *s, *ties, *d, *t, *w, *own, *u;  // see Sums
  double *scale, *step;      // what makes a lifted exponential of the block exp(z − m); the z of top less that of m
};

CROSSENT_LOOP int64_t parts_of(const Rows& c) {
  const int64_t blocks = (c.classes + block - 1) / block;
  return (blocks > at_once ? blocks + 7 : at_once) / 8 * 8;
}

CROSSENT_LOOP Parts lay_out(double* memory, int64_t count) {
  Parts p;
  for (double** array : {&p.top, &p.s, &p.ties, &p.d, &p.t, &p.w, &p.own, &p.u, &p.scale, &p.step})
    *array = memory, memory += count;
  return p;
}

template <class S>
CROSSENT_INLINE void put(const Parts& p, int64_t i, S top, const Sums& sums) {
  p.top[i] = double(top);
  p.s[i] = sums.s, p.ties[i] = sums.ties, p.d[i] = sums.d, p.t[i] = sums.t, p.w[i] = sums.w, p.own[i] = sums.own;
  p.u[i] = sums.u;
}

constexpr int64_t side = lanes<double>;  // numbers of which there is one a block, side by side

// The scale and the step of each block of a row with the maximum m.
template <class S, bool plain>
CROSSENT_LOOP void scales_of_blocks(const Rows& c, const Parts& p, int64_t blocks, double m_of_row) {
  const Doubles m = all(m_of_row), zero = {};
  for (int64_t i = 0; i < blocks; i += side) {
    const Doubles top = load(p.top + i);
    const Difference<Doubles> gap = plain ? difference(top, m) : changed_difference(c, top, m);
    const Doubles step = top == m ? zero : gap.value;
    store(p.step + i, step);
    store(p.scale + i, exp_of(step, top == m ? zero : gap.rest) / double(Format<S>::lifted_one));
  }
}

// A sum of numbers that keeps what its roundings lose.
struct Kept {
  double sum = 0, lost = 0;
  void add(double x) {
    const double next = sum + x, part = next - sum;
    lost += (sum - (next - part)) + (x - part);
    sum = next;
  }
  double value() const { return lost == lost ? sum + lost : sum; }
};

// Of one row from its blocks. q at the spot, held, lies in block `place`.
template <class S, bool plain>
CROSSENT_LOOP Row merge(const Rows& c, const Parts& p, int64_t blocks, double held, int64_t place) {
  Row f = {};
  f.m = -infinity<double>();
  for (int64_t i = 0; i < blocks; ++i) f.m = p.top[i] > f.m ? p.top[i] : f.m;
  scales_of_blocks<S, plain>(c, p, blocks, f.m);
  Kept s, d, t, w, u, rest;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t n = c.classes - i * block < block ? c.classes - i * block : block;
    const double step = p.step[i], scale = p.scale[i], sum = scale * p.s[i], q = p.w[i] + p.own[i];
    const double tops = step == 0 ? 0.0 : times(scale * double(Format<S>::lifted_one), p.ties[i]);
    s.add(sum), s.add(tops);
    f.ties += step == 0 ? p.ties[i] : 0.0;
    u.add(scale * p.u[i]), u.add(times(sum + tops, step));
    d.add(p.d[i]), d.add(double(n) * (step / 2));
    t.add(p.t[i]), t.add(times(q, step / 2));
    w.add(q);
    rest.add(p.w[i]), rest.add(i == place ? p.own[i] - held : p.own[i]);
  }
  f.s = s.value(), f.d = d.value(), f.t = t.value(), f.w = w.value(), f.u = u.value();
  f.held = held, f.rest = rest.value();
  return f;
}

}  // namespace CROSSENT_ISA
