// SPDX-License-Identifier: Apache-2.0
//
// A few stored embeddings, copied one after the other: the points of all that follow one of them are one stream.
//
// They lie in an order of what they hold. Rounding makes <P, Q> and <Q, P> differ in the last bits, so the first in
// this order asks for both: then each product is computed once, and twins, which are at one place of the order, have
// the same products with all others to the bit, so that they tie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "embedding_runs.hpp"
#include "learndock/kernel_sums.hpp"
#include "learndock/mixture_search.hpp"

namespace learndock {

/// Where point p of a batch begins: its numbers are tile_lanes apart.
template <class Scalar>
Scalar* lane_of(Scalar* tiles, Index dim, Index p) {
  return tiles + p / tile_lanes * dim * tile_lanes + p % tile_lanes;
}

/// A number that orders all floats, those that are none too, and that is the same for 0 and -0.
inline std::int32_t order_of(float x) {
  x += 0.0f;
  std::int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// Whether an embedding comes before another in an order of their sizes, weights and points.
inline bool comes_before(const PackedEmbeddings<float>& a, Index i, const PackedEmbeddings<float>& b, Index j) {
  const Index first = a.offsets[i], other = b.offsets[j];
  const Index count = a.offsets[i + 1] - first, other_count = b.offsets[j + 1] - other;
  if (count != other_count) return count < other_count;
  for (Index p = 0; p < count; ++p) {
    const std::int32_t x = order_of(a.weights[first + p]), y = order_of(b.weights[other + p]);
    if (x != y) return x < y;
  }
  for (Index p = 0; p < count; ++p) {
    const float *x = lane_of(a.tiles, a.dim, first + p), *y = lane_of(b.tiles, b.dim, other + p);
    for (Index k = 0; k < a.dim * tile_lanes; k += tile_lanes)
      if (order_of(x[k]) != order_of(y[k])) return order_of(x[k]) < order_of(y[k]);
  }
  return false;
}

/// The candidates of one user, one after the other in the order above.
struct Candidates {
  AlignedArray<float> tiles;
  std::vector<float> weights;
  std::vector<Index> offsets;
  std::vector<Index> numbers;    // of the candidates, as they lie
  std::vector<Index> positions;  // where each candidate lies
  PackedEmbeddings<float> packed;

  void gather(const std::vector<PackedEmbeddings<float>>& batches, const EmbeddingPlace* places, Index m) {
    const Index dim = batches.front().dim;
    arrange(batches, places, m);
    offsets.assign(1, 0);
    for (Index i : numbers) {
      const PackedEmbeddings<float>& batch = batches[places[i].batch];
      offsets.push_back(offsets.back() + batch.offsets[places[i].index + 1] - batch.offsets[places[i].index]);
    }
    const Index count = offsets.back();
    weights.resize(count);
    float* to = tiles.reserve(tile_count(count) * dim * tile_lanes);
    const auto copy_point = [dim](const float* from, float* lane) {
      for (Index k = 0; k < dim; ++k) lane[k * tile_lanes] = from[k * tile_lanes];
    };
    for (Index at = 0; at < m; ++at) {
      const EmbeddingPlace& place = places[numbers[at]];
      const PackedEmbeddings<float>& batch = batches[place.batch];
      const Index begin = batch.offsets[place.index], end = batch.offsets[place.index + 1];
      for (Index p = begin; p < end; ++p)
        copy_point(lane_of(batch.tiles, dim, p), lane_of(to, dim, offsets[at] + p - begin));
      std::copy(batch.weights + begin, batch.weights + end, weights.begin() + offsets[at]);
    }
    for (Index p = count; p % tile_lanes != 0; ++p) copy_point(lane_of(to, dim, count - 1), lane_of(to, dim, p));
    packed = {to, weights.data(), offsets.data(), m, dim};
  }

  /// row[j] = <P_i, P_j> for j > i, as they lie, in float32 arithmetic, and bounds on their errors; `rows` is scratch.
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

 private:
  void arrange(const std::vector<PackedEmbeddings<float>>& batches, const EmbeddingPlace* places, Index m) {
    numbers.resize(m);
    std::iota(numbers.begin(), numbers.end(), Index{0});
    std::sort(numbers.begin(), numbers.end(), [&](Index a, Index b) {
      return comes_before(batches[places[a].batch], places[a].index, batches[places[b].batch], places[b].index);
    });
    positions.resize(m);
    for (Index at = 0; at < m; ++at) positions[numbers[at]] = at;
  }
};

}  // namespace learndock
