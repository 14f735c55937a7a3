// SPDX-License-Identifier: Apache-2.0
#include "embedding_runs.hpp"

#include <algorithm>

namespace learndock {

namespace {

/// Points a chunk of work covers: enough to make the shared tiles at its ends cheap, few enough to balance threads.
constexpr Index most_chunk_points = 4096;
constexpr Index fewest_chunk_points = 256;
/// Multiplications in a chunk, where many query rows would make it longer than a user waits after Ctrl-C.
constexpr Index most_chunk_work = Index{1} << 29;

}  // namespace

std::vector<Index> chunk_bounds(const Index* offsets, Index count, Index query_rows, Index dim) {
  const Index chunk_points = std::min(
      most_chunk_points, std::max(fewest_chunk_points, most_chunk_work / std::max(query_rows * dim, Index{1})));
  std::vector<Index> bounds{0};
  for (Index i = 1; i <= count; ++i)
    if (i == count || offsets[i] - offsets[bounds.back()] >= chunk_points) bounds.push_back(i);
  return bounds;
}

}  // namespace learndock
