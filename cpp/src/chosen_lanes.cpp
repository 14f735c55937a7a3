// SPDX-License-Identifier: Apache-2.0
#include "chosen_lanes.hpp"

#include <algorithm>

namespace learndock {

ChosenLanes::ChosenLanes(const std::vector<Sketches>& batches, const Index* chosen, Index count) {
  for (const Sketches& batch : batches) starts_.push_back(starts_.back() + batch.count);
  pairs_.reserve(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    const Index b = batch_of(chosen[i]);
    const Index lane = starts_[b] + batches[b].lanes[chosen[i] - starts_[b]];
    pairs_.push_back(static_cast<std::uint64_t>(lane) << 32 | static_cast<std::uint32_t>(i));
  }
  std::sort(pairs_.begin(), pairs_.end());
}

ChosenLanes::Chosen ChosenLanes::operator[](Index i) const {
  const std::uint64_t pair = pairs_[static_cast<std::size_t>(i)];
  const auto lane = static_cast<Index>(pair >> 32);
  const Index batch = batch_of(lane);
  return {batch, lane - starts_[batch], static_cast<Index>(static_cast<std::uint32_t>(pair))};
}

Index ChosenLanes::batch_of(Index place) const {
  return std::upper_bound(starts_.begin(), starts_.end(), place) - starts_.begin() - 1;
}

}  // namespace learndock
