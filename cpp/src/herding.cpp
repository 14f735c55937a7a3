// SPDX-License-Identifier: Apache-2.0
#include "learndock/herding.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "learndock/instruction_set.hpp"

namespace learndock {

namespace {

/// Tiles per chunk: at dim 32 a chunk is 128 KB of candidates, some 10 us of work.
constexpr Index chunk_tiles = 32;

struct Best {
  double value = -std::numeric_limits<double>::infinity();
  Index index = -1;
};

}  // namespace

void herd(const double* candidates, const double* mean, Index count, Index dim, double gamma, Index n, bool replace,
          ThreadTeam& team, Index* chosen) {
  const Index tiles = tile_count(count);
  std::vector<double> packed(tiles * dim * tile_lanes), row(tiles * tile_lanes);
  pack_points(candidates, count, dim, packed.data());
  std::vector<double> sum(count, 0.0);
  std::vector<char> taken(count, 0);
  const Index chunks = (tiles + chunk_tiles - 1) / chunk_tiles;
  std::vector<Best> best(chunks);
  const double one = 1;

  for (Index t = 0; t < n; ++t) {
    const Index last = t > 0 ? chosen[t - 1] : -1;
    team.for_each(chunks, [&](Index chunk, int) {
      const Index first_tile = chunk * chunk_tiles;
      const Index chunk_size = std::min(chunk_tiles, tiles - first_tile);
      const Index begin = first_tile * tile_lanes, end = std::min(count, begin + chunk_size * tile_lanes);
      if (last >= 0) {
        const Embedding point{candidates + last * dim, &one, 1, dim};
        active_kernels().embed_double(point, gamma, packed.data() + first_tile * dim * tile_lanes, chunk_size,
                                      row.data() + begin);
        for (Index i = begin; i < end; ++i) sum[i] += row[i];
      }
      Best found;
      for (Index i = begin; i < end; ++i) {
        const double value = static_cast<double>(t + 1) * mean[i] - sum[i];
        if (value > found.value && (replace || !taken[i])) found = {value, i};
      }
      best[chunk] = found;
    });
    Best winner;
    for (const Best& found : best)
      if (found.value > winner.value) winner = found;
    chosen[t] = winner.index;
    taken[winner.index] = 1;
  }
}

}  // namespace learndock
