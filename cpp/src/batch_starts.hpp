// SPDX-License-Identifier: Apache-2.0
//
// Places that count through several batches of sketches.
#pragma once

#include <algorithm>
#include <vector>

#include "learndock/sketch.hpp"

namespace learndock {

class BatchStarts {
 public:
  explicit BatchStarts(const std::vector<Sketches>& batches) {
    for (const Sketches& batch : batches) starts_.push_back(starts_.back() + batch.count);
  }

  /// The batch in which a place lies, and where that batch begins.
  Index batch_of(Index place) const {
    return std::upper_bound(starts_.begin(), starts_.end(), place) - starts_.begin() - 1;
  }
  Index operator[](Index batch) const { return starts_[batch]; }

 private:
  std::vector<Index> starts_{0};
};

}  // namespace learndock
