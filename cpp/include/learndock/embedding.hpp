// SPDX-License-Identifier: Apache-2.0
//
// Kernel mean embeddings as arrays, and the order in which the kernels read them.
//
// An embedding is mu_P = sum_j weights[j] k(points[j], .) with k(x, y) = exp(-gamma ||x - y||^2):
//   points   [count, dim] row-major
//   weights  [count], any sign, any sum
//
// A packed batch holds many embeddings of one dim. Their points follow each other without padding between embeddings,
// in tiles of `tile_lanes` points with the points along the lanes of a vector:
//   tiles    [ceil(point_count / tile_lanes)][dim][tile_lanes]
//   weights  [point_count]
//   offsets  [count + 1], embedding i owns the points offsets[i] .. offsets[i + 1] - 1
// Lanes after the last point repeat it, so that every lane holds a finite number; nobody reads their sums.
#pragma once

#include <cstdint>

namespace learndock {

using Index = std::int64_t;

/// Points in a tile: one AVX-512 vector of floats. A file layout: changing it means a new layout number.
inline constexpr Index tile_lanes = 16;

constexpr Index tile_count(Index point_count) { return (point_count + tile_lanes - 1) / tile_lanes; }

/// One embedding. Does not own its arrays.
struct Embedding {
  const double* points = nullptr;   ///< [count, dim] row-major
  const double* weights = nullptr;  ///< [count]
  Index count = 0;
  Index dim = 0;
};

/// Many embeddings in tiles. Does not own its arrays. Scalar is float or double.
template <class Scalar>
struct PackedEmbeddings {
  const Scalar* tiles = nullptr;    ///< [tile_count(point_count)][dim][tile_lanes]
  const Scalar* weights = nullptr;  ///< [point_count]
  const Index* offsets = nullptr;   ///< [count + 1], increasing, offsets[0] = 0
  Index count = 0;
  Index dim = 0;

  Index point_count() const { return offsets[count]; }
};

/// An embedding of one of several batches: which batch, and which of its embeddings.
struct EmbeddingPlace {
  Index batch = 0;
  Index index = 0;
};

/// Row-major points [point_count, dim] into tiles; `tiles` has room for tile_count(point_count) * dim * tile_lanes.
template <class From, class Scalar>
void pack_points(const From* points, Index point_count, Index dim, Scalar* tiles);

/// The points begin .. end - 1 of a packed batch, row-major, in float64.
template <class Scalar>
void unpack_points(const Scalar* tiles, Index dim, Index begin, Index end, double* points);

}  // namespace learndock
