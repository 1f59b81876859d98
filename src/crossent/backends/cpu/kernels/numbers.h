// The four floating dtypes: how each is read into the dtype of the sums and rounded from it, once, to nearest even.
#pragma once

#include <type_traits>

#include "elementary.h"

namespace CROSSENT_ISA {

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

template <class S>
CROSSENT_INLINE S widen(float x) {
  return S(x);
}
template <class S>
CROSSENT_INLINE S widen(double x) {
  return S(x);
}
template <class S>
CROSSENT_INLINE S widen(Bfloat16 x) {
  return S(bits_of<float>(uint32_t(x.bits) << 16));
}
template <class S>
CROSSENT_INLINE S widen(Float16 x) {
  const uint32_t magnitude = uint32_t(x.bits & 0x7fff) << 13, sign = uint32_t(x.bits & 0x8000) << 16;
  const float finite = bits_of<float>(magnitude) * 0x1p112f;  // subnormals too, exactly
  const uint32_t word = magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : bits_of<uint32_t>(finite);
  return S(bits_of<float>(word | sign));
}

CROSSENT_INLINE void round_to(float& to, float x) { to = x; }
CROSSENT_INLINE void round_to(float& to, double x) { to = float(x); }
CROSSENT_INLINE void round_to(double& to, float x) { to = x; }
CROSSENT_INLINE void round_to(double& to, double x) { to = x; }

CROSSENT_INLINE void round_to(Bfloat16& to, float x) {
  const uint32_t word = bits_of<uint32_t>(x);
  const uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
  to.bits = uint16_t(x != x ? 0x7fc0u : rounded);
}

CROSSENT_INLINE void round_to(Float16& to, float x) {
  const uint32_t word = bits_of<uint32_t>(x), sign = (word >> 16) & 0x8000u, magnitude = word & 0x7fffffffu;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t small = bits_of<uint32_t>(bits_of<float>(magnitude) + 0.5f) - 0x3f000000u;  // the sum rounds at 2⁻²⁴
  uint32_t half = magnitude < (113u << 23) ? small : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  to.bits = uint16_t(half | sign);
}

// From float64 through a float32 rounded to odd, which rounds on to sixteen bits as the number itself would.
CROSSENT_INLINE float to_odd(double x) {
  const float near = float(x);
  const uint32_t word = bits_of<uint32_t>(near);
  const double back = near;
  const bool up = (back > x) == (x > 0);  // away from zero
  const uint32_t toward_zero = up ? word - 1 : word;
  const bool finite = (word & 0x7f800000u) != 0x7f800000u;
  return back != x && finite ? bits_of<float>(toward_zero | 1u) : near;
}
CROSSENT_INLINE void round_to(Bfloat16& to, double x) { round_to(to, to_odd(x)); }
CROSSENT_INLINE void round_to(Float16& to, double x) { round_to(to, to_odd(x)); }

}  // namespace CROSSENT_ISA
