// SPDX-License-Identifier: Apache-2.0
//
// An order in which near rows are next to each other: cut in two where the coordinate of the largest variance has its
// widest gap, and the parts again. What is far from most ends up among its like. Each cut leaves a quarter on either
// side where it can: some count width log(count / 16) steps, of a sample of the rows where these are many.
#pragma once

#include <cstdint>

#include "learndock/embedding.hpp"

namespace learndock {

/// Rows of small integers, each coordinate in units of its own. Does not own its arrays.
struct CodeRows {
  const std::int8_t* codes;  ///< row i from codes + i * stride on
  Index count;
  Index stride;
  Index width;
  const float* scales;  ///< [width] the unit of each coordinate
};

/// Writes the rows' numbers in that order; equal rows stay in the order of their numbers.
void near_order(const CodeRows& rows, std::int32_t* order);

}  // namespace learndock
