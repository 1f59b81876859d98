// Vectors from memory and back: of the dtype of the sums in registers, of any dtype where the caller has them; the end of
// a row, shorter than a vector, by masks.
#pragma once

#include "numbers.h"

namespace CROSSENT_ISA {

template <class S, class T>
CROSSENT_INLINE Vector<S> read(const T* x) {
  if constexpr (std::is_same_v<S, T>) {
    return load(x);
  } else if constexpr (std::is_same_v<S, float> && std::is_same_v<T, Bfloat16>) {
    HalfWords words;
    std::memcpy(&words, x, sizeof words);
    return bits_of<Floats>(__builtin_convertvector(words, Words) << 16);
  } else if constexpr (std::is_same_v<S, double> && std::is_same_v<T, float>) {
    HalfFloats numbers;
    std::memcpy(&numbers, x, sizeof numbers);
    return __builtin_convertvector(numbers, Doubles);
  } else {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<S, float>)
      return Floats(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))));
#elif defined(__F16C__)
    if constexpr (std::is_same_v<S, float>)
      return Floats(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
#endif
    S numbers[lanes<S>];
#pragma omp simd
    for (int64_t i = 0; i < lanes<S>; ++i) numbers[i] = widen<S>(x[i]);
    return load(numbers);
  }
}

template <class S, class T>
CROSSENT_INLINE void write(T* to, Vector<S> x) {
  if constexpr (std::is_same_v<S, T>) {
    store(to, x);
  } else if constexpr (std::is_same_v<S, float> && std::is_same_v<T, Bfloat16>) {
    const Words word = bits_of<Words>(x), rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    const Words words = x == x ? rounded : Words{} + 0x7fc0u;
    const HalfWords halves = __builtin_convertvector(words, HalfWords);
    std::memcpy(to, &halves, sizeof halves);
  } else if constexpr (std::is_same_v<S, double> && std::is_same_v<T, float>) {
    const HalfFloats numbers = __builtin_convertvector(x, HalfFloats);
    std::memcpy(to, &numbers, sizeof numbers);
  } else {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<S, float>)
      return _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(__m512(x), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    if constexpr (std::is_same_v<S, float>)
      return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(__m256(x), _MM_FROUND_TO_NEAREST_INT));
#endif
    S numbers[lanes<S>];
    store(numbers, x);
#pragma omp simd
    for (int64_t i = 0; i < lanes<S>; ++i) round_to(to[i], numbers[i]);
  }
}

// The first n numbers, fewer than a vector; the others are `fill`.
template <class S, class T>
CROSSENT_INLINE Vector<S> read_some(const T* x, int64_t n, S fill) {
#if defined(__AVX512F__)
  const uint32_t mask = (1u << n) - 1u;
  if constexpr (std::is_same_v<T, float> && std::is_same_v<S, float>)
    return Floats(_mm512_mask_loadu_ps(_mm512_set1_ps(fill), __mmask16(mask), x));
  if constexpr (std::is_same_v<T, double>) return Doubles(_mm512_mask_loadu_pd(_mm512_set1_pd(fill), __mmask8(mask), x));
#endif
  T numbers[lanes<S>];
  for (int64_t i = 0; i < lanes<S>; ++i) round_to(numbers[i], fill);
  for (int64_t i = 0; i < n; ++i) numbers[i] = x[i];
  return read<S, T>(numbers);
}

template <class S, class T>
CROSSENT_INLINE void write_some(T* to, Vector<S> x, int64_t n) {
#if defined(__AVX512F__)
  const uint32_t mask = (1u << n) - 1u;
  if constexpr (std::is_same_v<T, float> && std::is_same_v<S, float>)
    return _mm512_mask_storeu_ps(to, __mmask16(mask), __m512(x));
  if constexpr (std::is_same_v<T, double>) return _mm512_mask_storeu_pd(to, __mmask8(mask), __m512d(x));
#endif
  T numbers[lanes<S>];
  write<S, T>(numbers, x);
  for (int64_t i = 0; i < n; ++i) to[i] = numbers[i];
}

// Where z is its block's maximum: such numbers are counted, and left out of the sum of the others.
template <class S>
class Tops {
 public:
#if defined(__AVX512F__)
  Tops(Vector<S> z, Vector<S> m) {
    if constexpr (sizeof(S) == 4) others_ = _mm512_cmp_ps_mask(__m512(z), __m512(m), _CMP_NEQ_UQ);
    else others_ = _mm512_cmp_pd_mask(__m512d(z), __m512d(m), _CMP_NEQ_UQ);
  }
  void add_others(Vector<S>& sum, Vector<S> x) const { add(sum, x, others_); }
  void add_tops(Vector<S>& sum, Vector<S> x) const { add(sum, x, ~others_); }
  struct Count {
    int64_t others = 0;
    int64_t value(int64_t seen) const { return seen - others; }
  };
  void count(Count& c) const { c.others += __builtin_popcount(others_); }

 private:
  static void add(Vector<S>& sum, Vector<S> x, uint32_t mask) {
    if constexpr (sizeof(S) == 4) sum = Floats(_mm512_mask_add_ps(__m512(sum), __mmask16(mask), __m512(sum), __m512(x)));
    else sum = Doubles(_mm512_mask_add_pd(__m512d(sum), __mmask8(mask), __m512d(sum), __m512d(x)));
  }
  uint32_t others_;
#else
  Tops(Vector<S> z, Vector<S> m) : tops_(z == m) {}
  void add_others(Vector<S>& sum, Vector<S> x) const { sum += tops_ ? Vector<S>{} : x; }
  void add_tops(Vector<S>& sum, Vector<S> x) const { sum += tops_ ? x : Vector<S>{}; }
  using Mask = decltype(Vector<S>{} == Vector<S>{});
  struct Count {
    Mask each = {};
    int64_t value(int64_t) const {
      int64_t all = 0;
      for (int64_t i = 0; i < lanes<S>; ++i) all -= each[i];
      return all;
    }
  };
  void count(Count& c) const { c.each += tops_; }  // a lane that holds is −1

 private:
  Mask tops_;
#endif
};

// Whether any lane of a is that of b.
template <class S>
CROSSENT_INLINE bool holds(Vector<S> a, Vector<S> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 4) return _mm512_cmp_ps_mask(__m512(a), __m512(b), _CMP_EQ_OQ) != 0;
  else return _mm512_cmp_pd_mask(__m512d(a), __m512d(b), _CMP_EQ_OQ) != 0;
#else
  const auto equal = a == b;
  uint64_t words[CROSSENT_WIDTH / 8], any = 0;
  std::memcpy(words, &equal, sizeof equal);
  for (uint64_t word : words) any |= word;
  return any != 0;
#endif
}

// Which lanes are the first n.
template <class S>
CROSSENT_INLINE auto first_lanes(int64_t n) {
  Vector<S> place;
  for (int64_t i = 0; i < lanes<S>; ++i) place[i] = S(i);
  return place < all(S(n));
}

// A line of memory that is read, or written, soon.
template <class T>
CROSSENT_INLINE void expect_read(const T* x) {
  __builtin_prefetch(x, 0, 3);
}
template <class T>
CROSSENT_INLINE void expect_write(T* x) {
  __builtin_prefetch(x, 1, 3);
}

}  // namespace CROSSENT_ISA
