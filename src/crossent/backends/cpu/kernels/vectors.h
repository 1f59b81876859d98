// The vectors of the processor that a file is compiled for: as many numbers as its registers hold, in the compilers' own
// vector types, so that the functions of elementary.h serve numbers and vectors alike.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#ifndef CROSSENT_ISA
#define CROSSENT_ISA plain  // the binding, which rounds single numbers
#endif

#define CROSSENT_INLINE static inline __attribute__((always_inline))
#define CROSSENT_INLINED __attribute__((always_inline))
#define CROSSENT_MEMBER inline CROSSENT_INLINED
#define CROSSENT_LOOP static __attribute__((noinline))  // a loop is compiled once, not wherever it is called

#if defined(__AVX512F__)
#define CROSSENT_WIDTH 64
#elif defined(__AVX2__)
#define CROSSENT_WIDTH 32
#else
#define CROSSENT_WIDTH 16
#endif

namespace CROSSENT_ISA {

template <class To, class From>
CROSSENT_INLINE To bits_of(From x) {
  To to;
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  std::memcpy(&to, &x, sizeof to);
  return to;
}

typedef float Floats __attribute__((vector_size(CROSSENT_WIDTH)));
typedef double Doubles __attribute__((vector_size(CROSSENT_WIDTH)));
typedef float HalfFloats __attribute__((vector_size(CROSSENT_WIDTH / 2)));
typedef uint32_t Words __attribute__((vector_size(CROSSENT_WIDTH)));
typedef uint64_t LongWords __attribute__((vector_size(CROSSENT_WIDTH)));
typedef uint16_t HalfWords __attribute__((vector_size(CROSSENT_WIDTH / 2)));

template <class S>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = Floats;
};
template <>
struct VectorOf<double> {
  using type = Doubles;
};
template <class S>
using Vector = typename VectorOf<S>::type;

template <class S>
constexpr int64_t lanes = CROSSENT_WIDTH / int64_t(sizeof(S));

template <class S>
CROSSENT_INLINE Vector<S> load(const S* x) {
  Vector<S> v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
template <class V, class S>
CROSSENT_INLINE void store(S* to, V v) {
  std::memcpy(to, &v, sizeof v);
}
template <class S>
CROSSENT_INLINE Vector<S> all(S x) {
  return x - Vector<S>{};
}

// a where it is greater, or less, else b, as `a > b ? a : b` has it: a NaN in a is left out.
#if defined(__AVX512F__)
CROSSENT_INLINE Floats greater(Floats a, Floats b) { return Floats(_mm512_max_ps(__m512(a), __m512(b))); }
CROSSENT_INLINE Doubles greater(Doubles a, Doubles b) { return Doubles(_mm512_max_pd(__m512d(a), __m512d(b))); }
CROSSENT_INLINE Floats lesser(Floats a, Floats b) { return Floats(_mm512_min_ps(__m512(a), __m512(b))); }
CROSSENT_INLINE Doubles lesser(Doubles a, Doubles b) { return Doubles(_mm512_min_pd(__m512d(a), __m512d(b))); }
#elif defined(__AVX2__)
CROSSENT_INLINE Floats greater(Floats a, Floats b) { return Floats(_mm256_max_ps(__m256(a), __m256(b))); }
CROSSENT_INLINE Doubles greater(Doubles a, Doubles b) { return Doubles(_mm256_max_pd(__m256d(a), __m256d(b))); }
CROSSENT_INLINE Floats lesser(Floats a, Floats b) { return Floats(_mm256_min_ps(__m256(a), __m256(b))); }
CROSSENT_INLINE Doubles lesser(Doubles a, Doubles b) { return Doubles(_mm256_min_pd(__m256d(a), __m256d(b))); }
#elif defined(__SSE4_1__)
CROSSENT_INLINE Floats greater(Floats a, Floats b) { return Floats(_mm_max_ps(__m128(a), __m128(b))); }
CROSSENT_INLINE Doubles greater(Doubles a, Doubles b) { return Doubles(_mm_max_pd(__m128d(a), __m128d(b))); }
CROSSENT_INLINE Floats lesser(Floats a, Floats b) { return Floats(_mm_min_ps(__m128(a), __m128(b))); }
CROSSENT_INLINE Doubles lesser(Doubles a, Doubles b) { return Doubles(_mm_min_pd(__m128d(a), __m128d(b))); }
#else
CROSSENT_INLINE Floats greater(Floats a, Floats b) { return a > b ? a : b; }
CROSSENT_INLINE Doubles greater(Doubles a, Doubles b) { return a > b ? a : b; }
CROSSENT_INLINE Floats lesser(Floats a, Floats b) { return a < b ? a : b; }
CROSSENT_INLINE Doubles lesser(Doubles a, Doubles b) { return a < b ? a : b; }
#endif

// The greatest and the sum of the lanes, pair by pair.
template <class S>
CROSSENT_INLINE S greatest(Vector<S> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 4) return _mm512_reduce_max_ps(__m512(v));
  else return _mm512_reduce_max_pd(__m512d(v));
#else
  S x[lanes<S>];
  store(x, v);
  for (int64_t n = lanes<S> / 2; n > 0; n /= 2)
    for (int64_t i = 0; i < n; ++i) x[i] = x[i] > x[i + n] ? x[i] : x[i + n];
  return x[0];
#endif
}

CROSSENT_INLINE double total(Doubles v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_pd(__m512d(v));
#else
  double x[lanes<double>];
  store(x, v);
  for (int64_t n = lanes<double> / 2; n > 0; n /= 2)
    for (int64_t i = 0; i < n; ++i) x[i] += x[i + n];
  return x[0];
#endif
}

// As many vectors as one has lanes, rows made columns.
template <class S>
CROSSENT_INLINE void transpose(Vector<S>* v) {
  constexpr int64_t n = lanes<S>;
#if defined(__clang__)
  S rows[n][n];
  for (int64_t i = 0; i < n; ++i) store(rows[i], v[i]);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) v[i][j] = rows[j][i];
#else
  using Mask = decltype(Vector<S>{} == Vector<S>{});
#pragma GCC unroll 4
  for (int64_t step = 1; step < n; step *= 2) {
    Mask low, high;
    for (int64_t i = 0; i < n; ++i) low[i] = i & step ? n + i - step : i, high[i] = i & step ? n + i : i + step;
#pragma GCC unroll 16
    for (int64_t i = 0; i < n; ++i) {
      if (i & step) continue;
      const Vector<S> a = v[i], b = v[i + step];
      v[i] = __builtin_shuffle(a, b, low), v[i + step] = __builtin_shuffle(a, b, high);
    }
  }
#endif
}

// The two halves of a vector in float64.
CROSSENT_INLINE void halves(Floats v, Doubles& low, Doubles& high) {
#if defined(__AVX512F__)
  low = Doubles(_mm512_cvtps_pd(_mm512_castps512_ps256(__m512(v))));
  high = Doubles(_mm512_cvtps_pd(_mm512_extractf32x8_ps(__m512(v), 1)));
#else
  HalfFloats part[2];
  std::memcpy(part, &v, sizeof v);
  low = __builtin_convertvector(part[0], Doubles), high = __builtin_convertvector(part[1], Doubles);
#endif
}
CROSSENT_INLINE Floats joined(Doubles low, Doubles high) {
#if defined(__AVX512F__)
  return Floats(_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(__m512d(low))), _mm512_cvtpd_ps(__m512d(high)), 1));
#else
  const HalfFloats part[2] = {__builtin_convertvector(low, HalfFloats), __builtin_convertvector(high, HalfFloats)};
  Floats v;
  std::memcpy(&v, part, sizeof v);
  return v;
#endif
}

// A sum of many vectors that loses nothing worth telling: of float32 in float64, of float64 with what its roundings leave.
// Of all lanes, or of each.
template <class S>
struct Total;
template <>
struct Total<float> {
  Doubles low = {}, high = {};
  void add(Floats x) {
    Doubles a, b;
    halves(x, a, b);
    low += a, high += b;
  }
  double value() const { return total(low + high); }
  void each(double* out) const { store(out, low), store(out + lanes<double>, high); }
};
template <>
struct Total<double> {
  Doubles sum = {}, lost = {};
  void add(Doubles x) {
    const Doubles next = sum + x, part = next - sum;
    lost += (sum - (next - part)) + (x - part);
    sum = next;
  }
  double value() const {
    const double whole = total(sum), rest = total(lost);
    return rest == rest ? whole + rest : whole;  // of infinities nothing is left
  }
  void each(double* out) const { store(out, lost == lost ? sum + lost : sum); }
};

}  // namespace CROSSENT_ISA
