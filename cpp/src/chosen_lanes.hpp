// SPDX-License-Identifier: Apache-2.0
//
// Chosen places, which count through several batches of sketches, in the order of their lanes: near ones are often in
// one block.
#pragma once

#include <cstdint>
#include <vector>

#include "learndock/sketch.hpp"

namespace learndock {

class ChosenLanes {
 public:
  struct Chosen {
    Index batch, lane;
    Index number;  ///< of the place among the chosen
  };

  ChosenLanes(const std::vector<Sketches>& batches, const Index* chosen, Index count);

  Chosen operator[](Index i) const;

 private:
  Index batch_of(Index place) const;

  std::vector<Index> starts_{0};      // places at which batches begin
  std::vector<std::uint64_t> pairs_;  // (lane, number)
};

}  // namespace learndock
