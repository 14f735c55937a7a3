// SPDX-License-Identifier: Apache-2.0
//
// Places that count through several batches of sketches, and the lanes of chosen ones.
#pragma once

#include <algorithm>
#include <cstdint>
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

/// Chosen places in the order of their lanes: near ones are often in one block.
class ChosenLanes {
 public:
  struct Chosen {
    Index batch, lane;
    Index number;  ///< of the place among the chosen
  };

  ChosenLanes(const std::vector<Sketches>& batches, const Index* chosen, Index count);

  Chosen operator[](Index i) const;

 private:
  BatchStarts starts_;
  std::vector<std::uint64_t> pairs_;  // (lane, number)
};

}  // namespace learndock
