// exp, log1p and tanh without branches or tables, so that the compiler vectorises the loops they stand in.
//
// Reductions of the argument are exact (Cody and Waite); the polynomials are Chebyshev fits of
//   (exp(f) − 1 − f)/f²  on |f| ≤ log(2)/2   and   (2·atanh(s) − 2s)/s³  on s² ≤ 1/25,
// that of exp in float32 weighted by f²/exp(f). exp and log1p are right to one unit in the last place, tanh to three; the
// tests measure exp over every float32 of its range.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef CROSSENT_ISA
#define CROSSENT_ISA plain  // the binding, which rounds single numbers
#endif

#if defined(__GNUC__)
#define CROSSENT_INLINE static inline __attribute__((always_inline))
#define CROSSENT_LOOP static __attribute__((noinline))  // a loop is compiled once, not wherever it is called
#else
#define CROSSENT_INLINE static inline
#define CROSSENT_LOOP static
#endif

namespace CROSSENT_ISA {

template <class To, class From>
CROSSENT_INLINE To bits_of(From x) {
  To to;
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  std::memcpy(&to, &x, sizeof to);
  return to;
}

template <class S>
struct Format;

template <>
struct Format<float> {
  using Word = uint32_t;
  static constexpr int fraction = 23;
  static constexpr Word bias = 127;
  static constexpr int lift = 30;  // 2^lift times the smallest exponential has a leading bit
  static constexpr float round = 0x1.8p23f, vanish = -104.0f, infinity = __builtin_inff(), lifted_one = 0x1p30f;
  static constexpr float log2e = 0x1.715476p0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr Word sqrt_half = 0x3f3504f3u;
};

template <>
struct Format<double> {
  using Word = uint64_t;
  static constexpr int fraction = 52;
  static constexpr Word bias = 1023;
  static constexpr int lift = 64;
  static constexpr double round = 0x1.8p52, vanish = -746.0, infinity = __builtin_inf(), lifted_one = 0x1p64;
  static constexpr double log2e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr Word sqrt_half = 0x3fe6a09e667f3bcdull;
};

template <class S>
CROSSENT_INLINE S infinity() {
  return Format<S>::infinity;
}

template <class S>
CROSSENT_INLINE S nan() {
  return infinity<S>() - infinity<S>();
}

// 2ⁿ for a whole number n between the lowest exponent and the highest.
template <class S>
CROSSENT_INLINE S power_of_two(S n) {
  using F = Format<S>;
  return bits_of<S>((bits_of<typename F::Word>(n + F::round) << F::fraction) + (F::bias << F::fraction));
}

CROSSENT_INLINE float exp_polynomial(float f) {
  float q = 0x1.6a21dp-10f;
  q = q * f + 0x1.123a2p-7f;
  q = q * f + 0x1.555912p-5f;
  q = q * f + 0x1.555492p-3f;
  return q * f + 0x1.fffffcp-2f;
}

CROSSENT_INLINE double exp_polynomial(double f) {
  double q = 0x1.1f7340dbc337ep-29;
  q = q * f + 0x1.af4e554377204p-26;
  q = q * f + 0x1.27e4db46cddd1p-22;
  q = q * f + 0x1.71de01fdbf9cap-19;
  q = q * f + 0x1.a01a01a6e1e2ap-16;
  q = q * f + 0x1.a01a01abf85abp-13;
  q = q * f + 0x1.6c16c16c162c3p-10;
  q = q * f + 0x1.11111111100bep-7;
  q = q * f + 0x1.5555555555556p-5;
  q = q * f + 0x1.5555555555557p-3;
  return q * f + 0.5;
}

// x as n·log 2 + f with |f| ≤ log(2)/2, f = high − low of which high is exact; the low
// bits of `word` hold n + lift + bias, the exponent of 2^(n + lift).
template <class S>
struct Reduced {
  typename Format<S>::Word word;
  S n, high, low;
};

template <class S>
CROSSENT_INLINE Reduced<S> reduce(S x) {
  using F = Format<S>;
  constexpr S round = F::round + F::lift + F::bias;
  const S t = x * F::log2e + round, n = t - round;
  return {bits_of<typename F::Word>(t), n, x - n * F::ln2_high, n * F::ln2_low};
}

// exp(f) − 1; the rounding of f stays in the small terms.
template <class S>
CROSSENT_INLINE S expm1_of_rest(const Reduced<S>& p) {
  const S f = p.high - p.low;
  return p.high + ((f * f) * exp_polynomial(f) - p.low);
}

template <class S>
CROSSENT_INLINE S one() {  // what lifted_exp(0) is
  return Format<S>::lifted_one;
}

// 2^lift·exp(x) for x ≤ 0 and NaN: lifted, every result but 0 has a leading bit, and one factor makes it. Multiplied by
// 2^−lift, or by a factor that has it in, a result without a leading bit is rounded once.
template <class S>
CROSSENT_INLINE S lifted_exp(S x) {
  using F = Format<S>;
  const Reduced<S> p = reduce(x);
  const S scaled = (1 + expm1_of_rest(p)) * bits_of<S>(p.word << F::fraction);
  return x < F::vanish ? S(0) : scaled;
}

// exp(x) for x ≤ 0 and NaN.
template <class S>
CROSSENT_INLINE S exp_of(S x) {
  return lifted_exp(x) * (1 / Format<S>::lifted_one);
}

// exp(x) − 1 for x ≤ 0 and NaN.
template <class S>
CROSSENT_INLINE S expm1_of(S x) {
  x = x < -60 ? S(-60) : x;
  const Reduced<S> p = reduce(x);
  const S scale = power_of_two(p.n);
  return scale * expm1_of_rest(p) + (scale - 1);
}

CROSSENT_INLINE float log_polynomial(float w) {
  float p = 0x1.e66d7p-3f;
  p = p * w + 0x1.242c5ap-2f;
  p = p * w + 0x1.999a6cp-2f;
  return p * w + 0x1.555556p-1f;
}

CROSSENT_INLINE double log_polynomial(double w) {
  double p = 0x1.16b68338bd78bp-3;
  p = p * w + 0x1.0e88ea4725d3dp-3;
  p = p * w + 0x1.3b29fcbbce66dp-3;
  p = p * w + 0x1.745cab2727663p-3;
  p = p * w + 0x1.c71c72e2f78d5p-3;
  p = p * w + 0x1.24924923dba6ap-2;
  p = p * w + 0x1.9999999999f30p-2;
  return p * w + 0x1.5555555555555p-1;
}

// f − log(1 + f), led by f²/2, which is exact enough to leave the rest small.
template <class S>
CROSSENT_INLINE S log_rest(S f) {
  const S s = f / (2 + f), w = s * s, half = S(0.5) * f * f;
  return half - s * (half + w * log_polynomial(w));
}

// log(1 + x) for x ≥ 0, +∞ and NaN.
template <class S>
CROSSENT_INLINE S log1p_of(S x) {
  using F = Format<S>;
  using Word = typename F::Word;
  const S u = 1 + x;
  const S lost = x >= 1 ? 1 - (u - x) : x - (u - 1);  // u + lost = 1 + x
  const Word word = bits_of<Word>(u);
  const Word exponent = (word - F::sqrt_half) >> F::fraction;
  const S down = bits_of<S>((F::bias - exponent) << F::fraction);
  const S mantissa = bits_of<S>(word - (exponent << F::fraction)) - 1;
  const S f = exponent == 0 ? x : mantissa, correction = exponent == 0 ? S(0) : lost * down * (1 - f);
  const S k = bits_of<S>(exponent + bits_of<Word>(F::round)) - F::round;
  const S value = k * F::ln2_high + (f - (log_rest(f) - (k * F::ln2_low + correction)));
  return x < infinity<S>() ? value : x;
}

// log(1 + x) for 0 ≤ x ≤ 1 and NaN: of x itself, or of (x − 1)/2 beside log 2; both are exact.
template <class S>
CROSSENT_INLINE S log1p_of_unit(S x) {
  using F = Format<S>;
  const bool upper = x > S(0.5);
  const S f = upper ? S(0.5) * x - S(0.5) : x;
  const S high = upper ? F::ln2_high : S(0), low = upper ? F::ln2_low : S(0);
  return high + (f - (log_rest(f) - low));
}

// tanh(x), and 1 − tanh²(x), from exp(−2|x|): nothing cancels.
template <class S>
CROSSENT_INLINE S tanh_of(S x) {
  const S low = x > 0 ? -2 * x : 2 * x;
  const S t = expm1_of(low);
  const S value = -t / (t + 2);
  return x > 0 ? value : -value;
}

template <class S>
CROSSENT_INLINE S tanh_slope(S x) {
  const S e = exp_of(x > 0 ? -2 * x : 2 * x);
  return 4 * e / ((1 + e) * (1 + e));
}

}  // namespace CROSSENT_ISA
