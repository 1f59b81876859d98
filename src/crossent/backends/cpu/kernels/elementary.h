// exp, log1p and tanh without branches, so that the compiler vectorises the loops they stand in.
//
// Reductions of the argument are exact (Cody and Waite); the polynomials are Chebyshev fits of
//   (exp(f) − 1 − f)/f²  on |f| ≤ log(2)/2   and   (2·atanh(s) − 2s)/s³  on s² ≤ 1/25,
// that of exp in float32 weighted by f²/exp(f). exp and log1p are right to one unit in the last place, tanh to one; the
// tests measure exp over every float32 of its range. S is float, double or a vector of them.
#pragma once

#include "vectors.h"

namespace CROSSENT_ISA {

template <class S>
struct Format;

template <>
struct Format<float> {
  using Scalar = float;
  using Word = uint32_t;
  static constexpr int fraction = 23;
  static constexpr uint32_t bias = 127;
  static constexpr int lift = 30;  // 2^lift times the smallest exponential has a leading bit
  static constexpr float round = 0x1.8p23f, vanish = -104.0f, far = 208.0f, infinity = __builtin_inff(), lifted_one = 0x1p30f, half = 0.5f;
  static constexpr float log2e = 0x1.715476p0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr uint32_t sqrt_half = 0x3f3504f3u;
};

template <>
struct Format<double> {
  using Scalar = double;
  using Word = uint64_t;
  static constexpr int fraction = 52;
  static constexpr uint64_t bias = 1023;
  static constexpr int lift = 64;
  static constexpr double round = 0x1.8p52, vanish = -746.0, far = 1492.0, infinity = __builtin_inf(), lifted_one = 0x1p64, half = 0.5;
  static constexpr double log2e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr uint64_t sqrt_half = 0x3fe6a09e667f3bcdull;
};

template <>
struct Format<Floats> : Format<float> {
  using Word = Words;
};
template <>
struct Format<Doubles> : Format<double> {
  using Word = LongWords;
};

template <class S>
CROSSENT_INLINE S infinity() {
  return Format<S>::infinity;
}

template <class S>
CROSSENT_INLINE S nan() {
  return infinity<S>() - infinity<S>();
}

// a − b, and what its rounding leaves; 0 of two equal infinities.
template <class D>
struct Difference {
  D value, rest;
};
template <class D>
CROSSENT_INLINE Difference<D> difference(D a, D b) {
  const D d = a == b ? D{} : a - b, part = a - d, rest = (a - (d + part)) + (part - b);
  return {d, rest == rest ? rest : D{}};
}

// a·b − p, exactly, where p = a·b is rounded: in one operation, which the compiler must not share with the product.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
CROSSENT_INLINE double product_rest(double a, double b, double p) { return __builtin_fma(a, b, -p); }
CROSSENT_INLINE Doubles product_rest(Doubles a, Doubles b, Doubles p) {
#if defined(__AVX512F__)
  return Doubles(_mm512_fmsub_pd(__m512d(a), __m512d(b), __m512d(p)));
#elif defined(__AVX2__)
  return Doubles(_mm256_fmsub_pd(__m256d(a), __m256d(b), __m256d(p)));
#else
  for (int64_t i = 0; i < lanes<double>; ++i) p[i] = __builtin_fma(a[i], b[i], -p[i]);
  return p;
#endif
}
#else
template <class D>
CROSSENT_INLINE D product_rest(D a, D b, D p) {
  const D x = 0x1.0000002p27 * a, y = 0x1.0000002p27 * b, a_high = x - (x - a), a_low = a - a_high;
  const D b_high = y - (y - b), b_low = b - b_high;
  return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
}
#endif

template <class V>
CROSSENT_INLINE V exp_polynomial(V f, float) {
  V q = V{} + 0x1.6a21dp-10f;
  q = q * f + 0x1.123a2p-7f;
  q = q * f + 0x1.555912p-5f;
  q = q * f + 0x1.555492p-3f;
  return q * f + 0x1.fffffcp-2f;
}

// Its terms beyond 1/2, divided by f.
template <class V>
CROSSENT_INLINE V exp_tail(V f) {
  V q = V{} + 0x1.1f7340dbc337ep-29;
  q = q * f + 0x1.af4e554377204p-26;
  q = q * f + 0x1.27e4db46cddd1p-22;
  q = q * f + 0x1.71de01fdbf9cap-19;
  q = q * f + 0x1.a01a01a6e1e2ap-16;
  q = q * f + 0x1.a01a01abf85abp-13;
  q = q * f + 0x1.6c16c16c162c3p-10;
  q = q * f + 0x1.11111111100bep-7;
  q = q * f + 0x1.5555555555556p-5;
  return q * f + 0x1.5555555555557p-3;
}

template <class V>
CROSSENT_INLINE V exp_polynomial(V f, double) {
  return exp_tail(f) * f + 0.5;
}

template <class S>
CROSSENT_INLINE S exp_polynomial(S f) {
  return exp_polynomial(f, typename Format<S>::Scalar());
}

template <class S>
CROSSENT_INLINE auto one() {  // what lifted_exp(0) is
  return Format<S>::lifted_one;
}

// What is added to x·log2(e), so that the low bits of the sum hold the exponent of the exponential, lifted.
#if defined(__AVX512F__)
template <class Scalar>
constexpr Scalar exp_round = (sizeof(Scalar) == 4 ? Scalar(0x1.8p19) : Format<Scalar>::round) + Format<Scalar>::lift + Format<Scalar>::bias;
#else
template <class Scalar>
constexpr Scalar exp_round = Format<Scalar>::round + Format<Scalar>::lift + Format<Scalar>::bias;
#endif

// x as n·log 2 + f with |f| ≤ log(2)/2, f = high − low of which high is exact; the low bits of `word` hold the exponent
// that `round` puts there. `rest` is a small number that x leaves out.
template <class S>
struct Reduced {
  typename Format<S>::Word word;
  S n, high, low;
};

template <class S, class Round>
CROSSENT_INLINE Reduced<S> reduce(S x, Round round) {
  using F = Format<S>;
  const S t = x * F::log2e + round, n = t - round;
  return {bits_of<typename F::Word>(t), n, x - n * F::ln2_high, n * F::ln2_low};
}

// exp(f) − 1; the rounding of f stays in the small terms.
template <class S>
CROSSENT_INLINE S expm1_of_rest(const Reduced<S>& p) {
  const S f = p.high - p.low;
  return p.high + ((f * f) * exp_polynomial(f) - p.low);
}

// 2^lift·exp(x) and 2^lift·exp(x + rest) for x ≤ 0, little more, and NaN; rest is what a rounding of x left out. Lifted,
// every result but 0 has a leading bit, and one factor makes it: multiplied by a factor that has 2^−lift in, a result
// without a leading bit is rounded once.
template <class S>
CROSSENT_INLINE S lifted_exp(S x, S rest) {
  using F = Format<S>;
  Reduced<S> p = reduce(x, F::round + F::lift + F::bias);
  p.low = p.low - rest;
  const S scaled = (1 + expm1_of_rest(p)) * bits_of<S>(p.word << F::fraction);
  return x < F::vanish ? S{} : scaled;
}

template <class S>
CROSSENT_INLINE S lifted_exp(S x) {
  using F = Format<S>;
  const Reduced<S> p = reduce(x, F::round + F::lift + F::bias);
  const S scaled = (1 + expm1_of_rest(p)) * bits_of<S>(p.word << F::fraction);
  return x < F::vanish ? S{} : scaled;
}

#if defined(__AVX512F__)
// By sixteenths of log 2: their powers of 2 are a table that one instruction looks up, its bits less those that come with
// the shifted word; |f| ≤ log(2)/32 leaves a cubic.
template <bool adjusted>
CROSSENT_INLINE __m512 exp_by_table(__m512 x, __m512 rest) {
  const __m512i table = _mm512_setr_epi32(0, -152893, -289342, -408621, -509968, -592590, -655657, -698305, -719629, -718684, -694486, -646004, -572163, -471841, -343865, -187011);
  const __m512 round = _mm512_set1_ps(exp_round<float>);
  const __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p0f), round), n = _mm512_sub_ps(t, round);
  const __m512 high = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e430p-1f), x);
  __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(-0x1.05c610p-29f), high);
  if (adjusted) f = _mm512_add_ps(f, rest);
  const __m512 q = _mm512_fmadd_ps(f, _mm512_set1_ps(0x1.555556p-3f), _mm512_set1_ps(0x1.000220p-1f));
  const __m512 p = _mm512_fmadd_ps(_mm512_mul_ps(f, f), q, f);
  const __m512i word = _mm512_castps_si512(t);
  const __m512 power = _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_permutexvar_epi32(word, table), _mm512_slli_epi32(word, 19)));
  const __mmask16 kept = _mm512_cmp_ps_mask(x, _mm512_set1_ps(Format<float>::vanish), _CMP_NLT_UQ);
  return _mm512_maskz_fmadd_ps(kept, power, p, power);
}
CROSSENT_INLINE Floats lifted_exp(Floats x) { return Floats(exp_by_table<false>(__m512(x), __m512(x))); }
CROSSENT_INLINE Floats lifted_exp(Floats x, Floats rest) { return Floats(exp_by_table<true>(__m512(x), __m512(rest))); }
#endif

// exp(x), exp(x + rest).
template <class S>
CROSSENT_INLINE S exp_of(S x) {
  return lifted_exp(x) * (1 / Format<S>::lifted_one);
}
template <class S>
CROSSENT_INLINE S exp_of(S x, S rest) {
  return lifted_exp(x, rest) * (1 / Format<S>::lifted_one);
}

template <class V>
CROSSENT_INLINE V log_polynomial(V w, float) {
  V p = V{} + 0x1.e66d7p-3f;
  p = p * w + 0x1.242c5ap-2f;
  p = p * w + 0x1.999a6cp-2f;
  return p * w + 0x1.555556p-1f;
}

template <class V>
CROSSENT_INLINE V log_polynomial(V w, double) {
  V p = V{} + 0x1.16b68338bd78bp-3;
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
  const S s = f / (2 + f), w = s * s, half = f * f / 2;
  return half - s * (half + w * log_polynomial(w, typename Format<S>::Scalar()));
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
  const S f = exponent == 0 ? x : mantissa, correction = exponent == 0 ? S{} : lost * down * (1 - f);
  const S k = bits_of<S>(exponent + bits_of<Word>(S{} + F::round)) - F::round;
  const S value = k * F::ln2_high + (f - (log_rest(f) - (k * F::ln2_low + correction)));
  return x < F::infinity ? value : x;
}

// log(1 + x) for 0 ≤ x ≤ 1 and NaN: of x itself, or of (x − 1)/2 beside log 2; both are exact.
template <class S>
CROSSENT_INLINE S log1p_of_unit(S x) {
  using F = Format<S>;
  const auto upper = x > S{} + F::half;
  const S f = upper ? F::half * x - F::half : x;
  const S high = upper ? S{} + F::ln2_high : S{}, low = upper ? S{} + F::ln2_low : S{};
  return high + (f - (log_rest(f) - low));
}

#if defined(__AVX512F__)
// The same without a division: by c = 1 + j/15 near 1 + x, whose inverse of few bits leaves x·c⁻¹ + (c⁻¹ − 1) exact enough
// and has a logarithm that float32 holds to a thirtieth of a unit.
CROSSENT_INLINE Floats log1p_of_unit(Floats x) {
  const __m512 inverses = _mm512_setr_ps(0x1p+0f, 0x1.e068p-1f, 0x1.c3d8p-1f, 0x1.aaa8p-1f, 0x1.93b8p-1f, 0x1.7f98p-1f, 0x1.6da8p-1f, 0x1.5d48p-1f, 0x1.4e48p-1f,
                                         0x1.3fa8p-1f, 0x1.3358p-1f, 0x1.2798p-1f, 0x1.1cc8p-1f, 0x1.12d8p-1f, 0x1.08c8p-1f, 0x1.00a8p-1f);
  const __m512 logarithms = _mm512_setr_ps(0.0f, 0x1.04e274p-4f, 0x1.fff39ep-4f, 0x1.7571cep-3f, 0x1.e69e0ep-3f, 0x1.27ab9cp-2f, 0x1.58b5c8p-2f, 0x1.87a03ap-2f,
                                           0x1.b492fap-2f, 0x1.e26262p-2f, 0x1.054d9ep-1f, 0x1.1942e8p-1f, 0x1.2c5744p-1f, 0x1.3e86c2p-1f, 0x1.519f94p-1f,
                                           0x1.61949ep-1f);
  const __m512i j = _mm512_castps_si512(_mm512_fmadd_ps(__m512(x), _mm512_set1_ps(15), _mm512_set1_ps(0x1.8p23f)));
  const Floats inverse = Floats(_mm512_permutexvar_ps(j, inverses)), logarithm = Floats(_mm512_permutexvar_ps(j, logarithms));
  const Floats f = x * inverse + (inverse - 1);
  Floats q = f * -0.16668f + 0.2f;
  q = f * q - 0.25f;
  q = f * q + 0x1.555556p-2f;
  q = f * q - 0.5f;
  return logarithm + (f * f * q + f);
}
#endif

// a/b for b of ordinary size: where a processor estimates reciprocals, by two of Newton's steps, which are faster than its
// division and lose one unit more.
CROSSENT_INLINE Doubles quotient(Doubles a, Doubles b) {
#if defined(__AVX512F__)
  Doubles inverse = Doubles(_mm512_rcp14_pd(__m512d(b)));
  inverse = inverse * (2 - b * inverse);
  inverse = inverse * (2 - b * inverse);
  return a * inverse;
#else
  return a / b;
#endif
}

// tanh(x) to 2⁻⁴² of itself, for sums in float32: exp(f) − 1 by fewer terms.
CROSSENT_INLINE Doubles tanh_for_floats(Doubles x) {
  using F = Format<Doubles>;
  const Doubles low = greater(all(-60.0), lesser(2 * x, -2 * x));  // a NaN stays one
  const Reduced<Doubles> p = reduce(low, F::round + F::bias);
  const Doubles scale = bits_of<Doubles>(p.word << F::fraction), f = p.high - p.low;
  Doubles q = Doubles{} + 0x1.72ad458027fbcp-19;
  q = q * f + 0x1.a136bf03ec612p-16;
  q = q * f + 0x1.a019c36bc053cp-13;
  q = q * f + 0x1.6c166bde96885p-10;
  q = q * f + 0x1.111111170bc08p-7;
  q = q * f + 0x1.55555565c7e0ep-5;
  q = q * f + 0x1.5555555554f96p-3;
  q = q * f + 0x1.fffffffffe062p-2;
  const Doubles t = scale * (f * f * q + f) + (scale - 1), value = quotient(-t, t + 2);
  return x > 0 ? value : -value;
}

// tanh(x + rest) in two parts, right to 2⁻⁵⁸ of itself: from t = exp(−2|x|) − 1, whose terms beyond f + f²/2 are small.
template <class D>
CROSSENT_INLINE Difference<D> tanh_in_two(D x, D rest) {
  using F = Format<D>;
  const D given = x > 0 ? -2 * x : 2 * x, given_rest = x > 0 ? -2 * rest : 2 * rest;
  const D low = given < -60 ? D{} - 60 : given;
  const Reduced<D> p = reduce(low, F::round + F::bias);
  const Difference<D> f = difference(p.high, p.low - (given < -60 ? D{} : given_rest));
  const D scale = bits_of<D>(p.word << F::fraction), square = f.value * f.value;
  const D square_rest = product_rest(f.value, f.value, square) + 2 * f.value * f.rest;
  const Difference<D> sum = difference(f.value, square / -2);
  const D sum_rest = sum.rest + (f.rest + (square_rest / 2 + square * f.value * exp_tail(f.value)));
  const Difference<D> missing = difference(D{} + 1, scale), whole = difference(scale * sum.value, missing.value);
  const Difference<D> t = difference(whole.value, missing.rest - (whole.rest + scale * sum_rest));
  const Difference<D> below = difference(D{} + 2, -t.value);
  const D value = -t.value / below.value;
  const D left = (product_rest(value, below.value, -t.value) + (t.rest + value * (below.rest + t.rest))) / -below.value;
  const Difference<D> found = difference(value, -left);
  return {x > 0 ? found.value : -found.value, x > 0 ? found.rest : -found.rest};
}

// 1 − tanh²(x/2) for x ≤ 0, from exp(x + rest): nothing cancels.
template <class S>
CROSSENT_INLINE S tanh_slope(S x, S rest) {
  const S lifted = lifted_exp(x, rest), e = lifted * (1 / Format<S>::lifted_one);
  const S sum = 1 + e, lost = e - (sum - 1);
  return 4 * lifted / (sum * sum + 2 * sum * lost) * (1 / Format<S>::lifted_one);
}

}  // namespace CROSSENT_ISA
