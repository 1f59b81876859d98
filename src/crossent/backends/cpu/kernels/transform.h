// The soft-cap and the temperature: z = cap·tanh(x/cap)/T, as its distance from the z of a maximum. Both keep the order of
// the logits, so the maximum of the x is that of the z; x − m comes before the division, which leaves the loss what it is
// where all logits are moved by one number. Computed in float64; two numbers of the sums' dtype hold what float32 cannot.
#pragma once

#include "rows.h"

namespace CROSSENT_ISA {

template <class Call>
CROSSENT_INLINE bool changes(const Call& c) { return c.softcap != 0 || c.temperature != 1; }

// x/by, and what its rounding leaves out; nothing of an infinity.
template <class D>
CROSSENT_INLINE Difference<D> divided(D x, double by) {
  const D value = x / by, rest = -product_rest(value, D{} + by, x) / by;
  return {value, rest - rest == 0 ? rest : D{}};
}

// The soft-cap in two parts.
template <class Call, class D>
CROSSENT_INLINE Difference<D> capped(const Call& c, D x) {
  if (c.softcap == 0) return {x, D{}};
  const Difference<D> inside = divided(x, c.softcap), t = tanh_in_two(inside.value, inside.rest);
  const D value = c.softcap * t.value, rest = product_rest(t.value, D{} + c.softcap, value) + c.softcap * t.rest;
  return difference(value, rest - rest == 0 ? -rest : D{});
}
template <class Call, class D>
CROSSENT_INLINE D changed(const Call& c, D x) {
  return capped(c, x).value / c.temperature;
}

// (x − m) of two logits as above; m may be that of a row of −∞.
template <class Call, class D>
CROSSENT_INLINE Difference<D> changed_difference(const Call& c, D x, D m) {
  const Difference<D> a = capped(c, x), b = capped(c, c.softcap == 0 ? centre_of(m) : m);
  Difference<D> d = difference(a.value, b.value);
  if (c.softcap != 0) d = difference(d.value, (b.rest - a.rest) - d.rest);
  if (c.temperature == 1) return d;
  const Difference<D> by = divided(d.value, c.temperature);
  const D rest = by.rest + d.rest / c.temperature;
  return {by.value, rest - rest == 0 ? rest : D{}};
}

// Numbers of float64 as two of float32 each: rounded, and what that leaves out; of an infinity nothing is left.
CROSSENT_INLINE Difference<Floats> split(Doubles low, Doubles high) {
  const Floats whole = joined(low, high);
  Doubles low_part, high_part;
  halves(whole, low_part, high_part);
  const Floats rest = joined(low - low_part, high - high_part);
  return {whole, rest - rest == 0 ? rest : Floats{}};
}

// The distance of logits from a maximum, for sums in float32: (t(x) − t(m))·slope, where t is the identity or tanh(x/cap).
// Equal logits have the same t, so that a maximum is at 0 exactly.
struct Moved {
  bool cap;
  double inverse, slope;  // of the soft-cap; of the distance
  template <class Call>
  explicit Moved(const Call& c)
      : cap(c.softcap != 0), inverse(cap ? lesser(1 / c.softcap, 0x1.fffffffffffffp1023) : 1.0),
        slope((cap ? c.softcap : 1.0) / c.temperature) {}
  static double lesser(double a, double b) { return a < b ? a : b; }
  CROSSENT_MEMBER Doubles place(Doubles x) const { return cap ? tanh_for_floats(x * inverse) : x; }
  CROSSENT_MEMBER Doubles centre(Doubles m) const { return place(cap || m != -infinity<double>() ? m : Doubles{}); }
  CROSSENT_MEMBER Difference<Floats> from(Floats x, Doubles low_centre, Doubles high_centre) const {
    Doubles low, high;
    halves(x, low, high);
    return split((place(low) - low_centre) * slope, (place(high) - high_centre) * slope);
  }
};

// The same for a block: its whole part and what that leaves out.
template <class S, class T, class Call>
CROSSENT_LOOP void changed_block(const Call& c, const T* x, int64_t n, double m, S* whole, S* rest) {
  const Moved moved(c);
  const Doubles centre = moved.centre(all(m));
  const auto distance = [&](Vector<S> z) CROSSENT_INLINED -> Difference<Vector<S>> {
    if constexpr (std::is_same_v<S, double>) return changed_difference(c, z, all(m));
    else return moved.from(z, centre, centre);
  };
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) {
    const Difference<Vector<S>> d = distance(read<S>(x + i));
    store(whole + i, d.value), store(rest + i, d.rest);
  }
  if (i == n) return;
  const Difference<Vector<S>> d = distance(read_some<S>(x + i, n - i, S(0)));
  write_some<S>(whole + i, d.value, n - i), write_some<S>(rest + i, d.rest, n - i);
}

// The derivative of the soft-cap.
template <class D>
CROSSENT_INLINE D slope_of(double cap, D x) {
  const Difference<D> inside = divided(x > 0 ? -2 * x : 2 * x, cap);
  return tanh_slope(inside.value, inside.rest);
}
CROSSENT_INLINE Floats slope_of(double inverse, Floats x) {
  Doubles low, high;
  halves(lesser(x, -x), low, high);
  const Difference<Floats> inside = split(low * inverse, high * inverse);
  return tanh_slope(inside.value, inside.rest);
}

template <class S, class T, class Call>
CROSSENT_LOOP void slopes_of_block(const Call& c, const T* x, int64_t n, S* slopes) {
  const double cap = c.softcap == 0 ? infinity<double>() : c.softcap, inverse = Moved::lesser(2 / cap, 0x1.fffffffffffffp1023);
  const auto slope = [&](Vector<S> z) CROSSENT_INLINED -> Vector<S> {
    return slope_of(std::is_same_v<S, double> ? cap : inverse, z);
  };
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) store(slopes + i, slope(read<S>(x + i)));
  if (i < n) write_some<S>(slopes + i, slope(read_some<S>(x + i, n - i, S(0))), n - i);
}

// A block times its slopes, in the caller's dtype.
template <class S, class T>
CROSSENT_LOOP void give_product(const S* x, const S* by, T* out, int64_t n) {
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) write<S>(out + i, load(x + i) * load(by + i));
  if (i < n) write_some<S>(out + i, read_some<S>(x + i, n - i, S(0)) * read_some<S>(by + i, n - i, S(0)), n - i);
}

}  // namespace CROSSENT_ISA
