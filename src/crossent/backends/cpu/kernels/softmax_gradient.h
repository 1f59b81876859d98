// The gradient of a softmax from its probabilities: p·(g − ⟨p, g⟩), see pull in crossent/_functions.py.
//
// Memory traffic an element: p and g read, the gradient written; a row stays in cache between its passes. The sums are
// in float64, so that the gradient is as exact as p is.
#pragma once

#include "elementary.h"

namespace CROSSENT_ISA {

template <class S>
CROSSENT_LOOP void softmax_gradient_of_row(const S* p, const S* g, S* out, int64_t n) {
  S most = 0;
  double centre = 0, pull = 0;
#pragma omp simd reduction(max : most) reduction(+ : centre)
  for (int64_t i = 0; i < n; ++i) {
    most = p[i] > most ? p[i] : most;
    centre += double(p[i]) * double(g[i]);
  }
  if (most > S(0.5)) {  // no 1 − p is formed where the row is confident
    int64_t top = 0;
    while (p[top] != most) ++top;
    centre = double(g[top]);
  }
#pragma omp simd reduction(+ : pull)
  for (int64_t i = 0; i < n; ++i) pull += double(p[i]) * (double(g[i]) - centre);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = S(double(p[i]) * ((double(g[i]) - centre) - pull));
}

template <class S>
void softmax_gradient_of(const crossent::SoftmaxGradient& c, int64_t begin, int64_t end) {
  const S *p = static_cast<const S*>(c.p), *g = static_cast<const S*>(c.g);
  for (int64_t i = begin; i < end; ++i)
    softmax_gradient_of_row(p + i * c.classes, g + i * c.classes, static_cast<S*>(c.out) + i * c.classes, c.classes);
}

void softmax_gradient(const crossent::SoftmaxGradient& c, int64_t begin, int64_t end) {
  if (c.wide) return softmax_gradient_of<double>(c, begin, end);
  softmax_gradient_of<float>(c, begin, end);
}

}  // namespace CROSSENT_ISA
