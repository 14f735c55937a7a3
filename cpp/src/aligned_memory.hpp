// SPDX-License-Identifier: Apache-2.0
//
// Memory that begins on a cache line: a vector of 64 bytes that crosses one is loaded twice.
#pragma once

#include <new>
#include <vector>

#include "learndock/embedding.hpp"

namespace learndock {

template <class T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};

  CacheLineAllocator() = default;
  template <class U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), alignment)); }
  void deallocate(T* data, std::size_t) { ::operator delete(data, alignment); }

  template <class U>
  bool operator==(const CacheLineAllocator<U>&) const {
    return true;
  }
  template <class U>
  bool operator!=(const CacheLineAllocator<U>&) const {
    return false;
  }
};

template <class T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

/// Scratch memory.
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  ~AlignedArray() { free(); }
  AlignedArray(const AlignedArray&) = delete;
  AlignedArray& operator=(const AlignedArray&) = delete;

  /// Room for `size` elements; what was there is lost.
  T* reserve(Index size) {
    if (size > size_) {
      free();
      data_ = CacheLineAllocator<T>().allocate(static_cast<std::size_t>(size));
      size_ = size;
    }
    return data_;
  }

 private:
  void free() {
    CacheLineAllocator<T>().deallocate(data_, static_cast<std::size_t>(size_));
    data_ = nullptr;
    size_ = 0;
  }

  T* data_ = nullptr;
  Index size_ = 0;
};

}  // namespace learndock
