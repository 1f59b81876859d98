// The kernels as a custom call of XLA, the compiler under JAX: losses of class indices, and their gradient in one pass.
//
// XLA's foreign function interface is a C ABI that is kept across releases: a handler is a C function of one frame, in
// which each structure begins with its size. The part of it that is read here is declared below, so that the extension
// is built where JAX is not installed; test_jax.py compiles these declarations against jaxlib's header.
#include "xla.h"

#include <cstring>
#include <exception>
#include <vector>

#include "kernels.h"

namespace {

using namespace crossent::xla;

constexpr int indices_in_32 = 4, indices_in_64 = 5;  // the interface's numbers of int32 and int64

Error* refuse(const CallFrame* frame, int code, const char* message) {
  ErrorCreateArgs args{sizeof(ErrorCreateArgs), nullptr, message, code};
  return frame->api->create_error(&args);
}

// Our numbers of the dtypes; −1: not ours.
int type_of(int dtype) {
  using crossent::Type;
  switch (dtype) {
    case 11: return int(Type::float32);
    case 12: return int(Type::float64);
    case 16: return int(Type::bfloat16);
    case 10: return int(Type::float16);
    default: return -1;
  }
}

const Buffer* buffer(void** buffers, int64_t i) { return static_cast<const Buffer*>(buffers[i]); }

int64_t count(const Buffer* b, int64_t axes) {
  int64_t n = 1;
  for (int64_t i = 0; i < axes; ++i) n *= b->dims[i];
  return n;
}

struct Options {
  double label_smoothing, softcap, temperature;
  int64_t ignore_index;
};

// x (…, C), y (…), the weight of each row (…), the factor of its gradient (…), Options in words of 32 bits, once or for
// each of a batch of calls; → loss (…), gradient (…, C) where it is wanted.
struct Operands {
  const Buffer *x, *y, *weight, *upstream, *options, *loss, *gradient;
  int64_t rows, classes;
  std::vector<int64_t> indices;
};

bool fits(const CallFrame* frame, Operands& o) {
  if (frame->args.size != 5 || frame->results.size < 1 || frame->results.size > 2) return false;
  void** in = frame->args.buffers;
  o.x = buffer(in, 0), o.y = buffer(in, 1), o.weight = buffer(in, 2), o.upstream = buffer(in, 3), o.options = buffer(in, 4);
  o.loss = buffer(frame->results.buffers, 0);
  o.gradient = frame->results.size == 2 ? buffer(frame->results.buffers, 1) : nullptr;
  if (o.x->rank < 1 || type_of(o.x->dtype) < 0) return false;
  o.classes = o.x->dims[o.x->rank - 1];
  o.rows = count(o.x, o.x->rank - 1);
  const int sums = o.x->dtype == 12 ? 12 : 11;
  return (o.y->dtype == indices_in_32 || o.y->dtype == indices_in_64) && count(o.y, o.y->rank) == o.rows &&
         o.weight->dtype == sums && count(o.weight, o.weight->rank) == o.rows && o.loss->dtype == sums &&
         count(o.loss, o.loss->rank) == o.rows && o.upstream->dtype == sums && count(o.upstream, o.upstream->rank) == o.rows &&
         o.options->dtype == indices_in_32 && count(o.options, o.options->rank) >= int64_t(sizeof(Options) / 4) &&
         (!o.gradient || (o.gradient->dtype == o.x->dtype && count(o.gradient, o.gradient->rank) == o.rows * o.classes));
}

// The indices in 64 bits.
const void* indices_of(Operands& o) {
  if (o.y->dtype == indices_in_64) return o.y->data;
  const int32_t* y = static_cast<const int32_t*>(o.y->data);
  o.indices.assign(y, y + o.rows);
  return o.indices.data();
}

void run(Operands& o) {
  crossent::Rows c;
  c.type = crossent::Type(type_of(o.x->dtype));
  c.wide = c.type == crossent::Type::float64;
  c.axes = 1, c.size[0] = o.rows, c.classes = o.classes;
  c.x.data = o.x->data, c.x.stride[0] = o.classes, c.x.along = 1;
  c.y.data = const_cast<void*>(indices_of(o)), c.y.stride[0] = 1;
  c.sample_weight.data = o.weight->data, c.sample_weight.stride[0] = 1;
  Options options;
  std::memcpy(&options, o.options->data, sizeof options);
  c.label_smoothing = options.label_smoothing, c.softcap = options.softcap, c.temperature = options.temperature;
  c.ignore_index = options.ignore_index;
  c.loss.data = o.loss->data, c.loss.stride[0] = 1;
  if (o.gradient) {
    c.upstream.data = o.upstream->data, c.upstream.stride[0] = 1;
    c.into.data = o.gradient->data, c.into.stride[0] = o.classes, c.into.along = 1;
  }
  if (o.rows && o.classes) crossent::run(c);
}

}  // namespace

namespace crossent::xla {

Error* losses(CallFrame* frame) {
  for (Extension* e = frame->extension; e; e = e->next)
    if (e->type == metadata_extension) {  // not a call but a question: for which version is this?
      Metadata* told = reinterpret_cast<MetadataExtension*>(e)->metadata;
      told->version.major = frame->api ? frame->api->version.major : 0;
      told->version.minor = frame->api ? frame->api->version.minor : 0;
      told->traits = 0;
      return nullptr;
    }
  if (frame->stage != execute) return nullptr;
  Operands operands;
  if (!fits(frame, operands)) return refuse(frame, invalid_argument, "crossent: operands that do not fit the kernels");
  try {
    run(operands);
  } catch (const std::exception&) {
    return refuse(frame, resource_exhausted, "crossent: no memory for the kernels");
  }
  return nullptr;
}

}  // namespace crossent::xla
