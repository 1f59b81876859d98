// The binding: Python's limited API of 3.10 alone, so that one build serves every Python, and a call costs what its
// arguments cost. Arrays come as addresses with strides in elements; the Python side keeps them alive for the call.
// Python without its lock has no limited API before 3.15 and is built for on its own (CMakeLists.txt).
#ifndef CROSSENT_FREE_THREADED
#define Py_LIMITED_API 0x030a0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <cmath>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <memory>
#include <vector>

#include "kernels.h"
#include "numbers.h"
#include "xla.h"

namespace {

std::atomic<const crossent::Kernels*> kernels{nullptr};  // one choice for the process, whatever interpreters are in it

const crossent::Kernels& chosen() { return *kernels.load(std::memory_order_relaxed); }

constexpr int64_t worth_threads = 1 << 16;    // numbers from which a second thread pays
constexpr int64_t piece = 1 << 15;            // numbers that a thread takes at a time
constexpr auto between_looks = std::chrono::milliseconds(50);
constexpr int64_t worth_releasing = 1 << 14;  // numbers from which others may have the interpreter meanwhile

int64_t whole(PyObject* x) { return PyLong_AsLongLong(x); }
double real(PyObject* x) { return PyFloat_AsDouble(x); }
void* address(PyObject* x) { return PyLong_AsVoidPtr(x); }

// The arguments of a call, read one after the other.
class Reader {
 public:
  Reader(PyObject* const* items, Py_ssize_t count) : items_(items), count_(count) {}
  int64_t whole() { return ::whole(next()); }
  double real() { return ::real(next()); }
  void* address() { return ::address(next()); }
  PyObject* next() { return at_ < count_ ? items_[at_++] : (wrong_ = true, Py_None); }

  // (address, strides): one for each batch axis, then that of the classes where the array has them. 0 is no array.
  crossent::Array array(int axes, bool classes) {
    crossent::Array a;
    a.data = address();
    PyObject* strides = next();
    if (!a.data) return a;
    if (PyTuple_Size(strides) != axes + (classes ? 1 : 0)) wrong_ = true;
    for (int i = 0; i < axes && !wrong_; ++i) a.stride[i] = ::whole(PyTuple_GetItem(strides, i));
    if (classes && !wrong_) a.along = ::whole(PyTuple_GetItem(strides, axes));
    return a;
  }

  // An array shaped like the rows, contiguous.
  crossent::Array dense(int axes, const int64_t* size) {
    crossent::Array a;
    a.data = address();
    int64_t step = 1;
    for (int i = axes - 1; i >= 0; step *= size[i--]) a.stride[i] = step;
    return a;
  }

  bool failed() {
    if (PyErr_Occurred()) return true;
    if (!wrong_ && at_ == count_) return false;
    PyErr_SetString(PyExc_SystemError, "crossent._cpu: arguments that do not fit the kernels");
    return true;
  }

 private:
  PyObject* const* items_;
  Py_ssize_t count_, at_ = 0;
  bool wrong_ = false;
};

void read_shape(Reader& in, crossent::Rows& c) {
  PyObject* shape = in.next();
  c.axes = int(PyTuple_Size(shape));
  if (c.axes > crossent::most_axes) {
    c.axes = 0;
    PyErr_SetString(PyExc_SystemError, "crossent._cpu: too many axes");
  }
  for (int i = 0; i < c.axes; ++i) c.size[i] = whole(PyTuple_GetItem(shape, i));
  c.classes = in.whole();
}

void run_rows(crossent::Rows& c) {
  crossent::prepare(c);
  const int64_t each = c.columns ? c.tile * c.classes : c.classes;
  const int64_t grain = each > 0 ? (piece + each - 1) / each : 1;
  crossent::parallel(c.units, each * c.units < worth_threads ? c.units + 1 : grain, [](const void* data, int64_t begin, int64_t end) {
    chosen().rows(*static_cast<const crossent::Rows*>(data), begin, end);
  }, &c);
}

// The interpreter's lock, given away; taken now and then to run the handlers of signals, so that Ctrl-C need not wait.
struct Unlocked {
  PyThreadState* state = PyEval_SaveThread();
  std::chrono::steady_clock::time_point looked = std::chrono::steady_clock::now();
  bool stopped = false;

  static bool asked(void* data) {
    Unlocked& self = *static_cast<Unlocked*>(data);
    const auto now = std::chrono::steady_clock::now();
    if (self.stopped || now - self.looked < between_looks) return self.stopped;
    self.looked = now;
    PyEval_RestoreThread(self.state);
    self.stopped = PyErr_CheckSignals() != 0;
    self.state = PyEval_SaveThread();
    return self.stopped;
  }
};

// Work without the interpreter's lock; false with an error set where memory lacks, or a signal's handler has raised.
template <class Work>
bool unlocked(int64_t numbers, Work work) {
  bool fine = true;
  const auto tried = [&] {
    try {
      work();
    } catch (const std::exception&) {
      fine = false;
    }
  };
  if (numbers < worth_releasing) {
    tried();
    if (!fine) PyErr_NoMemory();
    return fine;
  }
  Unlocked lock;
  {
    crossent::Watch watch(Unlocked::asked, &lock);
    tried();
  }
  PyEval_RestoreThread(lock.state);
  if (!fine && !lock.stopped) PyErr_NoMemory();
  return fine && !lock.stopped;
}

int64_t numbers_in(const crossent::Rows& c) {
  int64_t count = c.classes;
  for (int i = 0; i < c.axes; ++i) count *= c.size[i];
  return count;
}

PyObject* rows(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  crossent::Rows c;
  c.output = crossent::Output(in.whole());
  c.type = crossent::Type(in.whole());
  c.wide = in.whole() != 0;
  read_shape(in, c);
  c.x = in.array(c.axes, true);
  c.y = in.array(c.axes, false);
  c.q = in.array(c.axes, true);
  c.sample_weight = in.array(c.axes, false);
  c.upstream = in.array(c.axes, false);
  c.class_weight = in.address();
  c.ignore_index = in.whole();
  c.label_smoothing = in.real(), c.softcap = in.real(), c.temperature = in.real();
  c.loss_scale = in.real(), c.square_scale = in.real();
  c.into = in.array(c.axes, true);
  for (crossent::Array* a : {&c.loss, &c.square, &c.lse, &c.entropy, &c.confidence, &c.prediction, &c.others})
    *a = in.dense(c.axes, c.size);
  if (in.failed()) return nullptr;
  if (!unlocked(numbers_in(c), [&] { run_rows(c); })) return nullptr;
  Py_RETURN_NONE;
}

void put(void* out, crossent::Type type, double value) {
  using crossent::Type;
  if (type == Type::float64) plain::round_to(*static_cast<double*>(out), value);
  if (type == Type::float32) plain::round_to(*static_cast<float*>(out), value);
  if (type == Type::bfloat16) plain::round_to(*static_cast<plain::Bfloat16*>(out), value);
  if (type == Type::float16) plain::round_to(*static_cast<plain::Float16*>(out), value);
}

// The losses of the rows of a small call, until they are summed.
class Losses {
 public:
  void* reserve(int64_t bytes) {
    if (bytes <= int64_t(sizeof few_)) return few_;
    many_.reset(new char[size_t(bytes)]);
    return many_.get();
  }

 private:
  alignas(64) char few_[4096];
  std::unique_ptr<char[]> many_;
};

// Whether the class weights are what a plain call may have: no NaN, and none that rewards wrong answers.
bool are_weights(const crossent::Rows& c) {
  for (int64_t i = 0; c.class_weight && i < c.classes; ++i) {
    const double weight = c.wide ? static_cast<const double*>(c.class_weight)[i] : double(static_cast<const float*>(c.class_weight)[i]);
    if (!(weight >= 0)) return false;
  }
  return true;
}

enum class Reduction : int { sum, mean, none };

template <class S>
void add_squares(S* loss, const S* square, int64_t n, double z_loss) {
  for (int64_t i = 0; i < n; ++i) loss[i] += S(z_loss) * square[i];
}

// The loss of the rows, reduced into `out` in x's dtype or, unreduced, in that of the sums; and their gradient, times a
// factor. `found` has the divisors of the means.
void reduced(crossent::Rows& c, const crossent::Look& found, Reduction how, double z_loss, double factor, void* out) {
  const int64_t n = c.size[0], bytes = n * int64_t(c.wide ? sizeof(double) : sizeof(float));
  const bool mean = how == Reduction::mean;
  const auto over = [&](double sum, double divisor) { return !mean ? sum : divisor != 0 ? sum / divisor : std::nan(""); };
  const auto share = [&](double divisor) { return !mean ? factor : divisor != 0 ? factor / divisor : 0; };
  Losses losses, squares;
  c.loss.data = how == Reduction::none ? out : losses.reserve(bytes), c.loss.stride[0] = 1, c.loss_scale = share(found.own);
  if (z_loss != 0) c.square.data = squares.reserve(bytes), c.square.stride[0] = 1, c.square_scale = z_loss * share(found.count);
  run_rows(c);
  if (how == Reduction::none) {
    if (z_loss == 0 || !out) return;
    if (c.wide) return add_squares(static_cast<double*>(out), static_cast<const double*>(c.square.data), n, z_loss);
    return add_squares(static_cast<float*>(out), static_cast<const float*>(c.square.data), n, z_loss);
  }
  double loss = over(crossent::sum_of(c.loss.data, n, c.wide), found.own);
  if (z_loss != 0) loss += z_loss * over(crossent::sum_of(c.square.data, n, c.wide), found.count);
  put(out, c.type, loss);
}

// A plain loss of (N, C) rows in one call: the look, the losses, their reduction. False where an index is no class or a
// weight is negative: the general way has the messages.
PyObject* plain_rows(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  crossent::Rows c;
  c.type = crossent::Type(in.whole());
  c.wide = c.type == crossent::Type::float64;
  c.axes = 1;
  c.size[0] = in.whole();
  c.classes = in.whole();
  c.x.data = in.address(), c.x.stride[0] = c.classes, c.x.along = 1;
  c.y.data = in.address(), c.y.stride[0] = 1;
  c.class_weight = in.address();
  const auto how = Reduction(in.whole());
  c.ignore_index = in.whole();
  c.label_smoothing = in.real();
  const double z_loss = in.real();
  c.softcap = in.real(), c.temperature = in.real();
  c.into.data = in.address(), c.into.stride[0] = c.classes, c.into.along = 1;
  void* out = in.address();
  c.upstream.data = in.address(), c.upstream.stride[0] = 1;  // of each row, in the dtype of the sums
  const double factor = in.real();
  if (in.failed()) return nullptr;
  bool right = false;
  if (!unlocked(numbers_in(c), [&] {
        const crossent::Look found = crossent::look_at(c);
        right = found.position < 0 && are_weights(c);
        if (right) reduced(c, found, how, z_loss, factor, out);
      }))
    return nullptr;
  return PyBool_FromLong(right);
}

// softmax or log_softmax of contiguous rows.
PyObject* plain_softmax(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  crossent::Rows c;
  c.output = crossent::Output(in.whole());
  c.type = crossent::Type(in.whole());
  c.wide = c.type == crossent::Type::float64;
  c.axes = 1;
  c.size[0] = in.whole();
  c.classes = in.whole();
  c.x.data = in.address(), c.x.stride[0] = c.classes, c.x.along = 1;
  c.into.data = in.address(), c.into.stride[0] = c.classes, c.into.along = 1;
  if (in.failed()) return nullptr;
  if (!unlocked(numbers_in(c), [&] { run_rows(c); })) return nullptr;
  Py_RETURN_NONE;
}

// The gradient of a softmax of contiguous rows from its probabilities and its cotangent.
PyObject* softmax_gradient(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  crossent::SoftmaxGradient c;
  c.wide = in.whole() != 0;
  c.rows = in.whole(), c.classes = in.whole();
  c.p = in.address(), c.g = in.address(), c.out = in.address();
  if (in.failed()) return nullptr;
  if (!unlocked(c.rows * c.classes, [&] {
        const int64_t few = c.rows * c.classes < worth_threads ? c.rows + 1 : 1 + 4096 / (c.classes + 1);
        crossent::parallel(c.rows, few, [](const void* data, int64_t begin, int64_t end) {
          chosen().softmax_gradient(*static_cast<const crossent::SoftmaxGradient*>(data), begin, end);
        }, &c);
      }))
    return nullptr;
  Py_RETURN_NONE;
}

// The sum of the losses, or None where a target that is to be looked at is outside 0 … 1.
PyObject* binary(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  crossent::Binary b;
  b.type = crossent::Type(in.whole());
  b.wide = in.whole() != 0;
  b.count = in.whole(), b.period = in.whole();
  b.x = in.address(), b.y = in.address(), b.weight = in.address(), b.pos_weight = in.address();
  b.upstream = in.address();
  b.label_smoothing = in.real(), b.softcap = in.real(), b.temperature = in.real(), b.scale = in.real();
  b.gradient = in.address(), b.loss = in.address();
  const bool looks = in.whole() != 0;
  if (in.failed()) return nullptr;
  const int64_t blocks = (b.count + crossent::binary_block - 1) / crossent::binary_block;
  double total = 0;
  bool wrong = false;
  if (!unlocked(b.count, [&] {
        std::vector<double> partial(static_cast<size_t>(blocks));
        std::vector<unsigned char> outside(static_cast<size_t>(blocks));
        b.partial = partial.data();
        b.wrong = looks ? outside.data() : nullptr;
        crossent::parallel(blocks, b.count < worth_threads ? blocks + 1 : 4, [](const void* data, int64_t begin, int64_t end) {
          chosen().binary(*static_cast<const crossent::Binary*>(data), begin, end);
        }, &b);
        for (int64_t i = 0; i < blocks; ++i) total += partial[size_t(i)], wrong |= outside[size_t(i)] != 0;
      }))
    return nullptr;
  if (wrong) Py_RETURN_NONE;
  return PyFloat_FromDouble(total);
}

// Rows of probabilities, looked at: the lowest number, and the furthest that a row's sum is from 1.
struct Distributions {
  const crossent::Rows* rows;
  double *lowest, *furthest;  // of each row
};

template <class S>
void look_at_row(const S* q, int64_t n, double& lowest, double& furthest) {
  S least = 0, sum = 0;
#pragma omp simd reduction(min : least) reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    least = q[i] < least ? q[i] : least;
    sum += q[i];
  }
  lowest = double(least);
  furthest = std::fabs(double(sum) - 1);
}

// Whether no number is negative and every row sums to 1 within a tolerance; NaN is left to the loss. None: not told,
// where the classes are apart.
PyObject* distributions(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  crossent::Rows c;
  c.wide = in.whole() != 0;
  read_shape(in, c);
  c.x = in.array(c.axes, true);
  const double tolerance = in.real();
  if (in.failed()) return nullptr;
  crossent::prepare(c);
  if (c.axes != 1 || c.x.along != 1) Py_RETURN_NONE;
  const int64_t rows = c.size[0];
  bool fine = true;
  if (!unlocked(numbers_in(c), [&] {
        std::vector<double> lowest(static_cast<size_t>(rows)), furthest(static_cast<size_t>(rows));
        const Distributions all{&c, lowest.data(), furthest.data()};
        const int64_t grain = c.classes * rows < worth_threads ? rows + 1 : piece / c.classes + 1;
        crossent::parallel(rows, grain, [](const void* data, int64_t begin, int64_t end) {
          const auto& d = *static_cast<const Distributions*>(data);
          const crossent::Rows& r = *d.rows;
          for (int64_t i = begin; i < end; ++i) {
            const int64_t at = i * r.x.stride[0];
            if (r.wide) look_at_row(static_cast<const double*>(r.x.data) + at, r.classes, d.lowest[i], d.furthest[i]);
            else look_at_row(static_cast<const float*>(r.x.data) + at, r.classes, d.lowest[i], d.furthest[i]);
          }
        }, &all);
        for (int64_t i = 0; i < rows; ++i)
          fine = fine && !(lowest[size_t(i)] < 0) && !(furthest[size_t(i)] > tolerance);
      }))
    return nullptr;
  return PyBool_FromLong(fine);
}

PyObject* elementary(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  void *x = in.address(), *y = in.address();
  const int64_t n = in.whole();
  const bool wide = in.whole() != 0;
  const int which = int(in.whole());
  if (in.failed()) return nullptr;
  if (!unlocked(n, [&] { chosen().exponential(x, y, n, wide, which); })) return nullptr;
  Py_RETURN_NONE;
}

PyObject* choose(PyObject*, PyObject* name) {
  PyObject* bytes = name == Py_None ? nullptr : PyUnicode_AsUTF8String(name);
  if (name != Py_None && !bytes) return nullptr;
  const crossent::Kernels* found = crossent::kernels_for(bytes ? PyBytes_AsString(bytes) : nullptr);
  Py_XDECREF(bytes);
  if (!found) Py_RETURN_NONE;
  kernels = found;
  return PyUnicode_FromString(found->name);
}

PyObject* set_threads(PyObject*, PyObject* number) {
  const int64_t wanted = whole(number);
  if (PyErr_Occurred()) return nullptr;
  crossent::set_threads(int(wanted));
  Py_RETURN_NONE;
}

PyObject* borrow(PyObject*, PyObject* place) {
  crossent::borrow(address(place));
  if (PyErr_Occurred()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* get_threads(PyObject*, PyObject*) { return PyLong_FromLong(crossent::threads()); }

PyObject* reserve(PyObject*, PyObject* bytes) {
  const int64_t size = whole(bytes);
  if (PyErr_Occurred()) return nullptr;
  void* memory = crossent::reserve(size);
  return memory ? PyLong_FromVoidPtr(memory) : PyErr_NoMemory();
}

PyObject* release(PyObject*, PyObject* const* items, Py_ssize_t count) {
  Reader in(items, count);
  void* memory = in.address();
  const int64_t size = in.whole();
  if (in.failed()) return nullptr;
  crossent::release(memory, size);
  Py_RETURN_NONE;
}

// The handler that XLA calls; see xla.cpp.
PyObject* xla_losses(PyObject*, PyObject*) {
  return PyCapsule_New(reinterpret_cast<void*>(crossent::xla::losses), "xla._CUSTOM_CALL_TARGET", nullptr);
}

PyObject* empty_cache(PyObject*, PyObject*) { return PyLong_FromLongLong(crossent::empty_cache()); }

template <class Function>
PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"rows", as_method(rows), METH_FASTCALL, "Run the kernels over rows of logits; see kernels.h."},
    {"plain", as_method(plain_rows), METH_FASTCALL, "A plain loss of (N, C) rows in one call."},
    {"plain_softmax", as_method(plain_softmax), METH_FASTCALL, "softmax or log_softmax of contiguous rows."},
    {"softmax_gradient", as_method(softmax_gradient), METH_FASTCALL, "The gradient of a softmax from its probabilities."},
    {"binary", as_method(binary), METH_FASTCALL, "Run the kernels over the elements of a binary loss."},
    {"distributions", as_method(distributions), METH_FASTCALL, "Whether rows are probabilities."},
    {"elementary", as_method(elementary), METH_FASTCALL, "exp, log1p or tanh of numbers, for the tests."},
    {"choose", as_method(choose), METH_O, "Take the kernels for one kind of processor; None: the best it runs."},
    {"set_threads", as_method(set_threads), METH_O, "How many threads may work."},
    {"borrow", as_method(borrow), METH_O, "Work with the threads of the OpenMP whose GOMP_parallel this is; 0: our own."},
    {"get_threads", as_method(get_threads), METH_NOARGS, "How many threads may work."},
    {"reserve", as_method(reserve), METH_O, "Memory for a large result."},
    {"release", as_method(release), METH_FASTCALL, "Give memory back."},
    {"xla_losses", as_method(xla_losses), METH_NOARGS, "The handler of XLA's custom calls."},
    {"empty_cache", as_method(empty_cache), METH_NOARGS, "Give kept memory to the system; how many bytes."},
    {nullptr, nullptr, 0, nullptr},
};

int execute(PyObject*) {
  if (!kernels.load()) kernels = crossent::kernels_for(nullptr);
  return 0;
}

// What later Pythons ask of a module, by number, since 3.10 has no names for it: it keeps nothing of an interpreter's,
// and what it keeps of the process (threads, memory) it locks itself.
constexpr int multiple_interpreters = 3, gil = 4;  // from 3.12, from 3.13 on
void* const per_interpreter_gil = reinterpret_cast<void*>(2);
void* const gil_not_used = reinterpret_cast<void*>(1);

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(execute)}, {0, nullptr}, {0, nullptr}, {0, nullptr}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", "The C++ kernels of crossent's CPU room.", 0,
                          methods, slots, nullptr, nullptr, nullptr};

// The minor version of the Python 3 that runs; what it does not know it would refuse.
long minor_version() {
  const char* text = Py_GetVersion();
  return text[0] == '3' && text[1] == '.' ? std::strtol(text + 2, nullptr, 10) : 99;
}

}  // namespace

void crossent::run(Rows& c) { run_rows(c); }

PyMODINIT_FUNC PyInit__kernels() {
  if (minor_version() >= 12) slots[1] = {multiple_interpreters, per_interpreter_gil};
  if (minor_version() >= 13) slots[2] = {gil, gil_not_used};
  return PyModuleDef_Init(&definition);
}
