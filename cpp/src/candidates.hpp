// SPDX-License-Identifier: Apache-2.0
//
// A few stored embeddings, copied one after the other: the points of all that follow one of them are one stream.
#pragma once

#include <algorithm>
#include <vector>

#include "embedding_runs.hpp"
#include "learndock/kernel_sums.hpp"
#include "learndock/mixture_search.hpp"

namespace learndock {

/// The candidates of one user, one after the other.
struct Candidates {
  AlignedArray<float> tiles;
  std::vector<float> weights;
  std::vector<Index> offsets;
  std::vector<double> points;  // row-major
  std::vector<double> point_weights;
  PackedEmbeddings<float> packed;

  void gather(const std::vector<PackedEmbeddings<float>>& batches, const EmbeddingPlace* places, Index m) {
    const Index dim = batches.front().dim;
    offsets.assign(1, 0);
    for (Index i = 0; i < m; ++i) {
      const PackedEmbeddings<float>& batch = batches[places[i].batch];
      offsets.push_back(offsets.back() + batch.offsets[places[i].index + 1] - batch.offsets[places[i].index]);
    }
    const Index count = offsets.back();
    points.resize(count * dim);
    point_weights.resize(count);
    weights.resize(count);
    for (Index i = 0; i < m; ++i) {
      const PackedEmbeddings<float>& batch = batches[places[i].batch];
      const Index begin = batch.offsets[places[i].index], end = batch.offsets[places[i].index + 1];
      unpack_points(batch.tiles, dim, begin, end, points.data() + offsets[i] * dim);
      std::copy(batch.weights + begin, batch.weights + end, weights.begin() + offsets[i]);
      std::copy(batch.weights + begin, batch.weights + end, point_weights.begin() + offsets[i]);
    }
    float* to = tiles.reserve(tile_count(count) * dim * tile_lanes);
    pack_points(points.data(), count, dim, to);
    packed = {to, weights.data(), offsets.data(), m, dim};
  }

  /// row[j] = <P_i, P_j> for j > i in float32 arithmetic, and bounds on their errors.
  void products_of(Index i, double gamma, BoundedScratch<PreparedQuery>& scratch, double* row, double* errors) const {
    if (i + 1 == packed.count) return;
    const PreparedQuery query(embedding(i), gamma);
    bounded_products_of_run(query, packed, i + 1, packed.count, TileRange(offsets[i + 1], offsets[packed.count]),
                            scratch, row + i + 1, errors + i + 1);
  }

  /// row[j] = <P_i, P_j> for all j, likewise.
  void all_products_of(Index i, double gamma, BoundedScratch<PreparedQuery>& scratch, double* row,
                       double* errors) const {
    const PreparedQuery query(embedding(i), gamma);
    bounded_products_of_run(query, packed, 0, packed.count, TileRange(0, offsets[packed.count]), scratch, row, errors);
  }

  Embedding embedding(Index i) const {
    return {points.data() + offsets[i] * packed.dim, point_weights.data() + offsets[i], offsets[i + 1] - offsets[i],
            packed.dim};
  }
};

}  // namespace learndock
