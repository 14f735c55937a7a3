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
  PackedEmbeddings<float> packed;

  void gather(const std::vector<PackedEmbeddings<float>>& batches, const EmbeddingPlace* places, Index m) {
    const Index dim = batches.front().dim;
    offsets.assign(1, 0);
    for (Index i = 0; i < m; ++i) {
      const PackedEmbeddings<float>& batch = batches[places[i].batch];
      offsets.push_back(offsets.back() + batch.offsets[places[i].index + 1] - batch.offsets[places[i].index]);
    }
    const Index count = offsets.back();
    weights.resize(count);
    float* to = tiles.reserve(tile_count(count) * dim * tile_lanes);
    const auto lane_of = [dim](auto* all, Index point) {
      return all + point / tile_lanes * dim * tile_lanes + point % tile_lanes;
    };
    const auto copy_point = [dim](const float* from, float* lane) {
      for (Index k = 0; k < dim; ++k) lane[k * tile_lanes] = from[k * tile_lanes];
    };
    for (Index i = 0; i < m; ++i) {
      const PackedEmbeddings<float>& batch = batches[places[i].batch];
      const Index begin = batch.offsets[places[i].index], end = batch.offsets[places[i].index + 1];
      for (Index p = begin; p < end; ++p) copy_point(lane_of(batch.tiles, p), lane_of(to, offsets[i] + p - begin));
      std::copy(batch.weights + begin, batch.weights + end, weights.begin() + offsets[i]);
    }
    for (Index p = count; p % tile_lanes != 0; ++p) copy_point(lane_of(to, count - 1), lane_of(to, p));
    packed = {to, weights.data(), offsets.data(), m, dim};
  }

  /// row[j] = <P_i, P_j> for j > i in float32 arithmetic, and bounds on their errors; `rows` is scratch.
  void products_of(Index i, double gamma, UnpackedRows& rows, BoundedScratch<PreparedQuery>& scratch, double* row,
                   double* errors) const {
    if (i + 1 == packed.count) return;
    const PreparedQuery query(rows.of(packed, i), gamma);
    bounded_products_of_run(query, packed, i + 1, packed.count, TileRange(offsets[i + 1], offsets[packed.count]),
                            scratch, row + i + 1, errors + i + 1);
  }

  /// row[j] = <P_i, P_j> for all j, likewise.
  void all_products_of(Index i, double gamma, UnpackedRows& rows, BoundedScratch<PreparedQuery>& scratch, double* row,
                       double* errors) const {
    const PreparedQuery query(rows.of(packed, i), gamma);
    bounded_products_of_run(query, packed, 0, packed.count, TileRange(0, offsets[packed.count]), scratch, row, errors);
  }
};

}  // namespace learndock
