// What the binding and the kernels agree on. Nothing here is compiled for one processor alone.
//
// A call is rows of C logits. Its arrays keep the caller's strides (in elements): one for each batch axis, and one along
// the classes. `prepare` (layout.cpp) joins batch axes that lie one behind the other in every array and picks the walk:
// along rows whose classes are contiguous, or over columns, vectorised across rows, where they are few or far apart.
#pragma once

#include <cstdint>

namespace crossent {

constexpr int most_axes = 8;

enum class Type : int { float32, float64, bfloat16, float16 };
enum class Output : int { loss, softmax, log_softmax, moments };

struct Array {
  void* data = nullptr;
  int64_t stride[most_axes] = {};
  int64_t along = 0;  // the stride of the classes
};

struct Rows {
  Output output = Output::loss;
  Type type = Type::float32;    // of x and of the array written in its shape
  bool wide = false;            // sums in float64, not float32
  int axes = 0;                 // batch axes
  int64_t size[most_axes] = {};
  int64_t classes = 0;

  Array x;
  Array y;               // int64 class indices, or null
  Array q;               // probabilities in the dtype of the sums, or null
  Array sample_weight;   // in the dtype of the sums, or null
  Array upstream;        // the cotangent of each row, or what its softmax is multiplied by; in the dtype of the sums, or null
  const void* class_weight = nullptr;

  int64_t ignore_index = -100;
  double label_smoothing = 0, softcap = 0, temperature = 1, z_loss = 0;  // softcap 0: none
  double loss_scale = 1, square_scale = 0;  // of the gradient: what each row's loss and lse² are multiplied by

  Array into;     // the gradient, softmax or log_softmax, in x's dtype, or null
  Array loss;     // of each row, in the dtype of the sums, or null
  Array square;   // sample_weight·lse², or null
  Array lse, entropy, confidence, prediction, others;  // moments; prediction in int64, others: r

  bool columns = false;  // the walk
  int64_t tile = 1;      // rows side by side in a column walk
  int64_t units = 0;     // pieces of work: rows, or tiles
};

struct Binary {
  Type type = Type::float32;
  bool wide = false;
  int64_t count = 0, period = 1;  // pos_weight repeats with this period
  const void *x = nullptr, *y = nullptr, *weight = nullptr, *pos_weight = nullptr, *upstream = nullptr;
  double label_smoothing = 0, softcap = 0, temperature = 1, scale = 1;
  void *gradient = nullptr, *loss = nullptr;
  double* partial = nullptr;      // the sum of the losses of each block
  unsigned char* wrong = nullptr;  // whether a target of the block is outside 0 … 1
};

struct SoftmaxGradient {  // contiguous rows of one dtype
  bool wide = false;
  int64_t rows = 0, classes = 0;
  const void *p = nullptr, *g = nullptr;
  void* out = nullptr;
};

constexpr int64_t binary_block = 4096;

struct Kernels {
  const char* name;
  void (*rows)(const Rows&, int64_t begin, int64_t end);
  void (*binary)(const Binary&, int64_t begin, int64_t end);  // blocks
  // For the tests: exp, log1p, tanh, log1p of a number up to 1.
  void (*exponential)(const void* x, void* y, int64_t count, bool wide, int which);
  void (*softmax_gradient)(const SoftmaxGradient&, int64_t begin, int64_t end);
};

void prepare(Rows&);
void run(Rows&);  // on all threads
const Kernels* kernels_for(const char* forced);  // null: the best that this processor runs

void parallel(int64_t units, int64_t grain, void (*run)(const void*, int64_t, int64_t), const void* data);
// Ask, between the pieces of this thread's calls, whether to leave the rest undone; null: never. The one before comes back.
using Asked = bool (*)(void*);
struct Watch {
  Watch(Asked asked, void* data);
  ~Watch();
  Asked asked;
  void* data;
  Watch* before;
};
void borrow(void* parallel_of_openmp);  // null: the pool of our own
void set_threads(int count);
int threads();

struct Look {
  int64_t position = -1, value = 0;        // of the first index that is no class and not ignored
  int64_t live = 0, lowest = 0, highest = 0;
  double own = 0, count = 0;               // Σ weight[y]·sample_weight, Σ sample_weight over the rows that count
};
Look look_at(const Rows&);
double sum_of(const void* x, int64_t count, bool wide);

void* reserve(int64_t bytes);   // memory in huge pages, recycled
void release(void* memory, int64_t bytes);
int64_t empty_cache();

}  // namespace crossent
