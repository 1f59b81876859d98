// The soft-cap and the temperature: z = cap·tanh(x/cap)/T, as its distance from the z of a maximum. Both keep the order of
// the logits, so the maximum of the x is that of the z; x − m comes before the division, which leaves the loss what it is
// where all logits are moved by one number. Computed in float64; two numbers of the sums' dtype hold what float32 cannot.
#pragma once

#include "rows.h"

namespace CROSSENT_ISA {

template <class Call>
CROSSENT_INLINE bool changes(const Call& c) { return c.softcap != 0 || c.temperature != 1; }

template <class Call, class D>
CROSSENT_INLINE D capped(const Call& c, D x) {
  return c.softcap == 0 ? x : c.softcap * tanh_of(x / c.softcap);
}
template <class Call, class D>
CROSSENT_INLINE D changed(const Call& c, D x) {
  return capped(c, x) / c.temperature;
}

// a·b − p, exactly, where p = a·b is rounded.
template <class D>
CROSSENT_INLINE D product_rest(D a, double b, D p) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return a * b - p;  // one operation
#else
  const double split = 0x1.0000002p27, y = split * b, b_high = y - (y - b), b_low = b - b_high;
  const D x = split * a, a_high = x - (x - a), a_low = a - a_high;
  return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
}

// (x − m) of two logits as above; m may be that of a row of −∞.
template <class Call, class D>
CROSSENT_INLINE Difference<D> changed_difference(const Call& c, D x, D m) {
  const Difference<D> d = difference(capped(c, x), c.softcap == 0 ? centre_of(m) : capped(c, m));
  if (c.temperature == 1) return d;
  const D value = d.value / c.temperature;
  const D rest = (d.rest - product_rest(value, c.temperature, d.value)) / c.temperature;
  return {value, rest - rest == 0 ? rest : D{}};
}

// The same for a block: its whole part and what that leaves out.
template <class S, class T, class Call>
CROSSENT_LOOP void changed_block(const Call& c, const T* x, int64_t n, double m, S* whole, S* rest) {
  const double cap = c.softcap, centre = cap == 0 ? centre_of(m) : capped(c, m), inverse = 1 / c.temperature;
  if constexpr (std::is_same_v<S, double>) {
    int64_t i = 0;
    for (; i + lanes<S> <= n; i += lanes<S>) {
      const Difference<Doubles> d = changed_difference(c, read<S>(x + i), all(m));
      store(whole + i, d.value), store(rest + i, d.rest);
    }
    for (; i < n; ++i) {
      const Difference<double> d = changed_difference(c, widen<double>(x[i]), m);
      whole[i] = d.value, rest[i] = d.rest;
    }
  } else if (cap == 0) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const double d = (widen<double>(x[i]) - centre) * inverse;
      whole[i] = S(d), rest[i] = S(d - double(S(d)));
    }
  } else {
    const double slope = cap * inverse;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const double d = tanh_of(widen<double>(x[i]) / cap) * slope - centre * inverse;
      whole[i] = S(d), rest[i] = S(d - double(S(d)));
    }
  }
  if constexpr (!std::is_same_v<S, double>) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) rest[i] = rest[i] == rest[i] ? rest[i] : S(0);  // of infinities nothing is left
  }
}

// The derivative of the soft-cap: 1 − tanh².
template <class Call>
CROSSENT_INLINE double slope_of(const Call& c, double x) { return c.softcap == 0 ? 1.0 : tanh_slope(x / c.softcap); }

template <class S, class T, class Call>
CROSSENT_LOOP void slopes_of_block(const Call& c, const T* x, int64_t n, S* slopes) {
  const double cap = c.softcap == 0 ? infinity<double>() : c.softcap;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) slopes[i] = S(tanh_slope(widen<double>(x[i]) / cap));
}

}  // namespace CROSSENT_ISA
