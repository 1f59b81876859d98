// Memory of one thread for one row or tile, kept from call to call and grown where a call needs more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace CROSSENT_ISA {

class Scratch {
 public:
  ~Scratch() { drop(); }

  template <class S>
  S* reserve(int64_t count) {
    const size_t bytes = size_t(count) * sizeof(S);
    if (bytes > size_) {
      drop();
      memory_ = ::operator new(bytes, std::align_val_t(64));
      size_ = bytes;
    }
    return static_cast<S*>(memory_);
  }

 private:
  void drop() {
    if (memory_) ::operator delete(memory_, std::align_val_t(64));
    memory_ = nullptr;
    size_ = 0;
  }

  void* memory_ = nullptr;
  size_t size_ = 0;
};

}  // namespace CROSSENT_ISA
