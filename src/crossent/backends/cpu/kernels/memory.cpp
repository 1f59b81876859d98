// Memory for large results, in huge pages where the system has them: fresh pages cost as much as the arithmetic.
//
// The last block given back is kept for the next call of about its size, since a training step asks for the same again
// and again; `empty_cache` gives it to the system. Memory is handed out only after its last owner has released it.
#include <cstdlib>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.h"

namespace crossent {

namespace {

constexpr int64_t huge_page = int64_t(1) << 21;
std::mutex guard;
void* kept = nullptr;
int64_t kept_bytes = 0;

int64_t whole_pages(int64_t bytes) { return (bytes + huge_page - 1) / huge_page * huge_page; }

void* from_system(int64_t bytes) {
#if defined(__linux__)
  void* start = mmap(nullptr, size_t(bytes + huge_page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  char* first = static_cast<char*>(start);
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(first) + huge_page - 1) / huge_page * huge_page);
  if (aligned > first) munmap(first, size_t(aligned - first));
  char *end = first + bytes + huge_page, *used = aligned + bytes;
  if (end > used) munmap(used, size_t(end - used));
  madvise(aligned, size_t(bytes), MADV_HUGEPAGE);
  return aligned;
#else
  return std::malloc(size_t(bytes));
#endif
}

void to_system(void* memory, int64_t bytes) {
#if defined(__linux__)
  munmap(memory, size_t(bytes));
#else
  (void)bytes;
  std::free(memory);
#endif
}

}  // namespace

void* reserve(int64_t bytes) {
  bytes = whole_pages(bytes);
  {
    std::lock_guard<std::mutex> lock(guard);
    if (kept && kept_bytes == bytes) {
      void* memory = kept;
      kept = nullptr;
      return memory;
    }
  }
  return from_system(bytes);
}

void release(void* memory, int64_t bytes) {
  bytes = whole_pages(bytes);
  void* old = nullptr;
  int64_t old_bytes = 0;
  {
    std::lock_guard<std::mutex> lock(guard);
    old = kept, old_bytes = kept_bytes;
    kept = memory, kept_bytes = bytes;
  }
  if (old) to_system(old, old_bytes);
}

int64_t empty_cache() {
  std::lock_guard<std::mutex> lock(guard);
  if (!kept) return 0;
  to_system(kept, kept_bytes);
  kept = nullptr;
  return kept_bytes;
}

}  // namespace crossent
