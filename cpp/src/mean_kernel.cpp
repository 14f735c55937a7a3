// SPDX-License-Identifier: Apache-2.0
#include "learndock/mean_kernel.hpp"

#include <algorithm>
#include <vector>

#include "learndock/instruction_set.hpp"

namespace learndock {

double mean_kernel(const double* rows, Index n, Index dim, double gamma, ThreadTeam& team) {
  constexpr Index block = 256;  // rows, a whole number of tiles
  static_assert(block % tile_lanes == 0, "a block must end where a tile ends");
  const Index tile_size = dim * tile_lanes;
  const std::vector<double> ones(block, 1.0);
  std::vector<double> packed(tile_count(n) * tile_size);
  pack_points(rows, n, dim, packed.data());
  const Index blocks = (n + block - 1) / block;
  std::vector<double> sums(blocks, 0.0);
  team.for_each(blocks, [&](Index b, int) {
    // This block's rows against its own points (once) and those of all later blocks (twice, for symmetry).
    const Index begin = b * block, end = std::min(n, begin + block);
    const Index first_tile = begin / tile_lanes, tiles = tile_count(n) - first_tile;
    const Embedding query{rows + begin * dim, ones.data(), end - begin, dim};
    std::vector<double> values(tiles * tile_lanes);
    active_kernels().embed_double(query, gamma, packed.data() + first_tile * tile_size, 0, n - begin, values.data());
    double sum = 0;
    for (Index p = begin; p < n; ++p) sum += (p < end ? 1 : 2) * values[p - begin];
    sums[b] = sum;
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total / (static_cast<double>(n) * static_cast<double>(n));
}

}  // namespace learndock
