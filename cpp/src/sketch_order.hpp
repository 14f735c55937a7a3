// SPDX-License-Identifier: Apache-2.0
//
// Sketches put in an order in which near ones are next to each other, and the balls of their blocks.
#pragma once

#include "learndock/sketch.hpp"

namespace learndock {

/// Sketches as they come: codes [count][coordinates], residuals [stage][count], errors [count].
struct SketchRowsInOrder {
  const std::int8_t* codes;
  const float* residuals;
  const float* errors;
  Index count;
};

/// Writes them in lanes, near ones side by side; nothing but the time of searches depends on the order.
void arrange_sketches(const SketchMap& map, const SketchRowsInOrder& rows, const SketchArrays& to);

}  // namespace learndock
