// Batch axes joined where they lie one behind the other in every array, and the walk that suits the strides.
#include <algorithm>
#include <utility>
#include <vector>

#include "kernels.h"

namespace crossent {

namespace {

constexpr int64_t few_classes = 48;      // below, lanes are rows
constexpr int64_t tile_area = 8192;      // numbers of a tile: 32 KiB in float32
constexpr int64_t widest_tile = 512, narrowest_tile = 16;

std::vector<Array*> arrays_of(Rows& c) {
  std::vector<Array*> all;
  for (Array* a : {&c.x, &c.y, &c.q, &c.sample_weight, &c.upstream, &c.into, &c.loss, &c.square, &c.lse, &c.entropy,
                   &c.confidence, &c.prediction, &c.others})
    if (a->data) all.push_back(a);
  return all;
}

void drop_axis(Rows& c, const std::vector<Array*>& all, int axis) {
  for (int i = axis; i + 1 < c.axes; ++i) {
    c.size[i] = c.size[i + 1];
    for (Array* a : all) a->stride[i] = a->stride[i + 1];
  }
  --c.axes;
}

bool one_behind_the_other(const Rows& c, const std::vector<Array*>& all, int axis) {
  return std::all_of(all.begin(), all.end(), [&](const Array* a) {
    return a->stride[axis] == a->stride[axis + 1] * c.size[axis + 1];
  });
}

void join_axes(Rows& c, const std::vector<Array*>& all) {
  for (int i = c.axes - 1; i >= 0; --i)
    if (c.size[i] == 1 && c.axes > 1) drop_axis(c, all, i);
  for (int i = c.axes - 2; i >= 0; --i) {
    if (!one_behind_the_other(c, all, i)) continue;
    const int64_t size = c.size[i] * c.size[i + 1];
    drop_axis(c, all, i);
    c.size[i] = size;
  }
}

// The axis along which a column walk has its lanes: contiguous if there is such a one of some length, else the longest.
int lane_axis(const Rows& c) {
  int longest = 0;
  for (int i = 0; i < c.axes; ++i) {
    if (c.x.data && c.x.stride[i] == 1 && c.size[i] >= narrowest_tile) return i;
    if (c.size[i] > c.size[longest]) longest = i;
  }
  return longest;
}

void move_last(Rows& c, const std::vector<Array*>& all, int axis) {
  for (; axis + 1 < c.axes; ++axis) {
    std::swap(c.size[axis], c.size[axis + 1]);
    for (Array* a : all) std::swap(a->stride[axis], a->stride[axis + 1]);
  }
}

}  // namespace

void prepare(Rows& c) {
  const std::vector<Array*> all = arrays_of(c);
  if (c.axes == 0) {
    c.axes = 1;
    c.size[0] = 1;
    for (Array* a : all) a->stride[0] = 0;
  }
  c.columns = c.classes < few_classes || c.x.along != 1 || (c.into.data && c.into.along != 1);
  if (c.columns) move_last(c, all, lane_axis(c));
  join_axes(c, all);
  int64_t rows = 1;
  for (int i = 0; i < c.axes; ++i) rows *= c.size[i];
  c.units = rows;
  if (!c.columns || rows == 0) return;
  const int64_t run = c.size[c.axes - 1];
  c.tile = std::min(std::clamp(tile_area / c.classes / 16 * 16, narrowest_tile, widest_tile), run);
  c.units = rows / run * ((run + c.tile - 1) / c.tile);
}

Look look_at(const Rows& c) {
  Look out;
  out.lowest = INT64_MAX, out.highest = INT64_MIN;
  int64_t rows = 1;
  for (int i = 0; i < c.axes; ++i) rows *= c.size[i];
  const auto* y = static_cast<const int64_t*>(c.y.data);
  const auto place = [&](const Array& a, int64_t row) {
    if (c.axes == 1) return row * a.stride[0];
    int64_t at = 0;
    for (int i = c.axes - 1; i >= 0; row /= c.size[i--]) at += row % c.size[i] * a.stride[i];
    return at;
  };
  const bool simple = c.axes == 1 && c.y.stride[0] == 1 && !c.class_weight && !c.sample_weight.data;
  if (simple) {
    int64_t live = 0, bad = 0;
    const int64_t ignored = c.ignore_index, classes = c.classes;
#pragma omp simd reduction(+ : live, bad)
    for (int64_t i = 0; i < rows; ++i) {
      const bool counts = y[i] != ignored;
      live += counts ? 1 : 0;
      bad += counts && uint64_t(y[i]) >= uint64_t(classes) ? 1 : 0;
    }
    out.live = live, out.own = out.count = double(live);
    if (bad == 0) return out;
  }
  out.live = 0, out.own = out.count = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t value = y[place(c.y, i)];
    if (value == c.ignore_index) continue;
    const bool known = value >= 0 && value < c.classes;
    if (!known && out.position < 0) out.position = i, out.value = value;
    out.lowest = std::min(out.lowest, value), out.highest = std::max(out.highest, value);
    double weight = 1, own = 1;
    if (c.sample_weight.data) {
      const int64_t at = place(c.sample_weight, i);
      weight = c.wide ? static_cast<const double*>(c.sample_weight.data)[at]
                      : double(static_cast<const float*>(c.sample_weight.data)[at]);
    }
    if (c.class_weight && known)
      own = c.wide ? static_cast<const double*>(c.class_weight)[value]
                   : double(static_cast<const float*>(c.class_weight)[value]);
    ++out.live, out.own += own * weight, out.count += weight;
  }
  return out;
}

// In parts of a fixed length, so that the bits do not depend on anything but the numbers.
template <class S>
static double sum_parts(const S* x, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; i += 4096) {
    const int64_t end = std::min(i + 4096, count);
    double part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t j = i; j < end; ++j) part += double(x[j]);
    total += part;
  }
  return total;
}

double sum_of(const void* x, int64_t count, bool wide) {
  return wide ? sum_parts(static_cast<const double*>(x), count) : sum_parts(static_cast<const float*>(x), count);
}

}  // namespace crossent
