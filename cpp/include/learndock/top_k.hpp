// SPDX-License-Identifier: Apache-2.0
//
// The k smallest of many values, ordered by (value, index): ties never depend on the order of work. NaN counts as
// larger than everything.
#pragma once

#include <vector>

#include "learndock/embedding.hpp"

namespace learndock {

/// Indices of the min(k, count) smallest values. O(count + k log k).
std::vector<Index> top_k(const double* values, Index count, Index k);

}  // namespace learndock
