// SPDX-License-Identifier: Apache-2.0
#include "learndock/local_losses.hpp"

#include <algorithm>
#include <cmath>

#include "learndock/instruction_set.hpp"

namespace learndock {

namespace {

constexpr double log2_e = 1.4426950408889634074;
/// Tiles of rows that a thread takes at a time.
constexpr Index chunk_tiles = 16;

/// A sketch around the rows' centroid, in float32, with 0 for the losses of models that were not tried on it.
struct Narrowed {
  std::vector<float> points, weights, shares, losses;
  std::vector<char> tried;

  Narrowed(const SketchLosses& sketch, const std::vector<double>& centre, Index models)
      : points(sketch.of.count * sketch.of.dim),
        weights(sketch.of.count),
        shares(sketch.of.count),
        losses(sketch.of.count * models),
        tried(models) {
    for (Index p = 0; p < sketch.of.count; ++p) {
      for (Index k = 0; k < sketch.of.dim; ++k)
        points[p * sketch.of.dim + k] = static_cast<float>(sketch.of.points[p * sketch.of.dim + k] - centre[k]);
      weights[p] = static_cast<float>(sketch.of.weights[p]);
      shares[p] = static_cast<float>(sketch.shares[p]);
    }
    for (Index m = 0; m < models; ++m) {
      tried[m] = !std::isnan(sketch.losses[m]);
      for (Index p = 0; p < sketch.of.count; ++p)
        losses[p * models + m] = tried[m] ? static_cast<float>(sketch.losses[p * models + m]) : 0.0f;
    }
  }
};

std::vector<double> centroid(const double* rows, Index count, Index dim) {
  std::vector<double> centre(dim, 0.0);
  for (Index i = 0; i < count; ++i)
    for (Index k = 0; k < dim; ++k) centre[k] += rows[i * dim + k] / static_cast<double>(count);
  return centre;
}

}  // namespace

void local_losses(const double* rows, Index count, Index dim, const std::vector<SketchLosses>& sketches, Index models,
                  double gamma, ThreadTeam& team, const LocalLosses& to) {
  const std::vector<double> centre = centroid(rows, count, dim);
  std::vector<Narrowed> narrowed;
  Index largest = 0;
  for (const SketchLosses& sketch : sketches) {
    narrowed.emplace_back(sketch, centre, models);
    largest = std::max(largest, sketch.of.count);
  }
  const Index sketch_count = static_cast<Index>(sketches.size());
  const Index tiles = tile_count(count);
  team.for_each((tiles + chunk_tiles - 1) / chunk_tiles, [&](Index chunk, int) {
    std::vector<float> tile(dim * tile_lanes), kernel(largest * tile_lanes), losses(models * tile_lanes);
    std::vector<double> masses(models * tile_lanes);
    float mass[tile_lanes], embedding[tile_lanes];
    for (Index t = chunk * chunk_tiles; t < std::min(tiles, (chunk + 1) * chunk_tiles); ++t) {
      const Index first = t * tile_lanes, lanes = std::min(tile_lanes, count - first);
      for (Index lane = 0; lane < tile_lanes; ++lane) {
        const double* row = rows + std::min(first + lane, count - 1) * dim;
        for (Index k = 0; k < dim; ++k) tile[k * tile_lanes + lane] = static_cast<float>(row[k] - centre[k]);
      }
      std::fill(losses.begin(), losses.end(), 0.0f);
      std::fill(masses.begin(), masses.end(), 0.0);
      for (Index j = 0; j < sketch_count; ++j) {
        const Narrowed& sketch = narrowed[j];
        active_kernels().local_losses(
            {sketch.points.data(), sketch.weights.data(), sketch.shares.data(), sketch.losses.data(),
             sketches[j].of.count, dim, models, static_cast<float>(gamma * log2_e)},
            tile.data(), kernel.data(), losses.data(), mass, embedding);
        for (Index m = 0; m < models; ++m)
          if (sketch.tried[m])
            for (Index lane = 0; lane < lanes; ++lane) masses[m * tile_lanes + lane] += static_cast<double>(mass[lane]);
        for (Index lane = 0; lane < lanes; ++lane)
          to.embeddings[(first + lane) * sketch_count + j] = static_cast<double>(embedding[lane]);
      }
      for (Index lane = 0; lane < lanes; ++lane)
        for (Index m = 0; m < models; ++m) {
          to.losses[(first + lane) * models + m] = static_cast<double>(losses[m * tile_lanes + lane]);
          to.masses[(first + lane) * models + m] = masses[m * tile_lanes + lane];
        }
    }
  });
}

}  // namespace learndock
