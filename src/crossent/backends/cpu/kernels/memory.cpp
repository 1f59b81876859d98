// Memory for large results, in huge pages where the system has them: fresh pages cost as much as the arithmetic.
//
// Blocks given back are kept for the next calls of their size, since a training step asks for the same again and again:
// a few, a gibibyte in all or a single larger one, the oldest given to the system first. `empty_cache` gives up all.
// Memory is handed out only after its last owner has released it.
#include <cstdlib>
#include <mutex>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.h"

namespace crossent {

namespace {

constexpr int64_t huge_page = int64_t(1) << 21;
std::mutex guard;

struct Block {
  void* memory;
  int64_t bytes;
};
constexpr int64_t most_bytes = int64_t(1) << 30;  // kept in all, unless one block alone is larger
constexpr size_t most_blocks = 8;

std::vector<Block>& kept() {  // the oldest first; never destroyed, since threads may outlive this file's objects
  static auto* blocks = new std::vector<Block>;
  return *blocks;
}

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
    std::vector<Block>& blocks = kept();
    for (size_t i = blocks.size(); i-- > 0;) {
      if (blocks[i].bytes != bytes) continue;
      void* memory = blocks[i].memory;
      blocks.erase(blocks.begin() + std::ptrdiff_t(i));
      return memory;
    }
  }
  return from_system(bytes);
}

void release(void* memory, int64_t bytes) {
  bytes = whole_pages(bytes);
  std::vector<Block> old;
  {
    std::lock_guard<std::mutex> lock(guard);
    std::vector<Block>& blocks = kept();
    blocks.push_back({memory, bytes});
    int64_t all = 0;
    for (const Block& each : blocks) all += each.bytes;
    while (blocks.size() > 1 && (all > most_bytes || blocks.size() > most_blocks)) {
      all -= blocks.front().bytes;
      old.push_back(blocks.front());
      blocks.erase(blocks.begin());
    }
  }
  for (const Block& each : old) to_system(each.memory, each.bytes);
}

int64_t empty_cache() {
  std::lock_guard<std::mutex> lock(guard);
  int64_t all = 0;
  for (const Block& each : kept()) {
    to_system(each.memory, each.bytes);
    all += each.bytes;
  }
  kept().clear();
  return all;
}

}  // namespace crossent
