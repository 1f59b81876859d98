// The threads: a pool of our own, since torch and scikit-learn each bring an OpenMP that the other does not know; or, where
// torch is loaded, the threads that it has. After each of its operations those spin for some milliseconds, so that two
// pools on the same processors would take them from each other; the binding finds its GOMP_parallel, nothing is linked.
//
// A call's pieces are taken from one counter by the caller and by whichever workers wake in time; each piece is computed
// by one thread, so the result does not depend on how many there are. A second caller, while the pool is busy, works
// alone. After fork the child starts with a pool of its own, without threads. The pool is never destroyed: at exit workers sleep.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#ifndef _WIN32
#include <pthread.h>
#endif

#include "kernels.h"

namespace crossent {

namespace {

thread_local Watch* watching = nullptr;

struct Job {
  void (*run)(const void*, int64_t, int64_t);
  const void* data;
  int64_t units, grain;
  std::atomic<int64_t> next{0};

  void work() {
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= units) return;
      run(data, begin, std::min(begin + grain, units));
      if (watching && watching->asked(watching->data)) next.store(units, std::memory_order_relaxed);
    }
  }
};

class Pool {
 public:
  bool run(Job& job, int helpers) {
    std::unique_lock<std::mutex> entry(entry_, std::try_to_lock);
    if (!entry.owns_lock()) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (; started_ < helpers; ++started_) std::thread([this] { serve(); }).detach();
      job_ = &job;
      wanted_ = helpers;
    }
    for (int i = 0; i < helpers; ++i) wake_.notify_one();
    job.work();
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    done_.wait(lock, [this] { return active_ == 0; });
    return true;
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return job_ != nullptr && wanted_ > 0; });
      Job& job = *job_;
      --wanted_;
      ++active_;
      lock.unlock();
      job.work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex entry_, mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int wanted_ = 0, active_ = 0, started_ = 0;
};

using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

std::atomic<Pool*> the_pool{nullptr};
std::atomic<int> wanted_threads{1};
std::atomic<Parallel> borrowed{nullptr};

void after_fork() {
  the_pool.store(nullptr);
  borrowed.store(nullptr);
}

void watch_forks() {
#ifndef _WIN32
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, after_fork); });
#endif
}

Pool& pool() {
  Pool* found = the_pool.load(std::memory_order_acquire);
  if (found) return *found;
  Pool* fresh = new Pool;
  if (the_pool.compare_exchange_strong(found, fresh, std::memory_order_acq_rel)) {
    watch_forks();
    return *fresh;
  }
  delete fresh;
  return *found;
}

}  // namespace

void parallel(int64_t units, int64_t grain, void (*run)(const void*, int64_t, int64_t), const void* data) {
  const int helpers = int(std::min<int64_t>(wanted_threads.load(), (units + grain - 1) / grain)) - 1;
  if (helpers <= 0 && !watching) return run(data, 0, units);
  Job job{run, data, units, grain};
  if (helpers <= 0) return job.work();
  if (const Parallel team = borrowed.load())
    return team([](void* work) { static_cast<Job*>(work)->work(); }, &job, unsigned(helpers + 1), 0);
  if (!pool().run(job, helpers)) job.work();
}

Watch::Watch(Asked asked, void* data) : asked(asked), data(data), before(watching) { watching = this; }
Watch::~Watch() { watching = before; }

void borrow(void* parallel_of_openmp) {
  watch_forks();
#if defined(__SANITIZE_THREAD__)
  (void)parallel_of_openmp;  // the sanitizer does not see how a foreign pool synchronises
#else
  borrowed.store(reinterpret_cast<Parallel>(parallel_of_openmp));
#endif
}

void set_threads(int count) { wanted_threads.store(std::max(1, count)); }
int threads() { return wanted_threads.load(); }

}  // namespace crossent
