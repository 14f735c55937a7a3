// SPDX-License-Identifier: Apache-2.0
//
// The embeddings of a space's segments, one after the other: places count through all of them.
#pragma once

#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "packed_arrays.hpp"

namespace learndock::bindings {

class EmbeddingSet {
 public:
  explicit EmbeddingSet(const std::vector<py::tuple>& batches) {
    for (const py::tuple& arrays : batches) {
      require_size(static_cast<Index>(arrays.size()), 3, "batches: arrays of each");
      held_.emplace_back(arrays[0].cast<py::array>(), arrays[1].cast<py::array>(), arrays[2].cast<py::array>(),
                         OffsetCheck::ends);
      batches_.push_back(held_.back().view());
      require_size(batches_.back().dim, batches_.front().dim, "batches: dim");
      starts_.push_back(starts_.back() + batches_.back().count);
    }
    if (batches_.empty()) throw py::value_error("batches: expected at least one");
  }

  const std::vector<PackedEmbeddings<float>>& batches() const { return batches_; }
  Index dim() const { return batches_.front().dim; }
  Index total() const { return starts_.back(); }

  /// Where embeddings lie, checked; near places one after the other cost least.
  std::vector<EmbeddingPlace> require_places(const Index* chosen, Index count, const char* name) const {
    std::vector<EmbeddingPlace> places(static_cast<std::size_t>(count));
    std::size_t batch = 0;
    for (Index i = 0; i < count; ++i) {
      const Index place = chosen[i];
      if (place < 0 || place >= total()) throw py::value_error(std::string(name) + ": outside the embeddings");
      if (place < starts_[batch] || place >= starts_[batch + 1])
        batch = static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), place) - starts_.begin()) - 1;
      places[static_cast<std::size_t>(i)] = {static_cast<Index>(batch), place - starts_[batch]};
      held_[batch].require_embedding(place - starts_[batch], name);
    }
    return places;
  }

 private:
  std::vector<PackedArrays<float>> held_;
  std::vector<PackedEmbeddings<float>> batches_;
  std::vector<Index> starts_{0};  // places at which batches begin, and the total
};

}  // namespace learndock::bindings
