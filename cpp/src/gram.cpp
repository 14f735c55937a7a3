// SPDX-License-Identifier: Apache-2.0
#include "learndock/gram.hpp"

#include <algorithm>

#include "embedding_runs.hpp"
#include "learndock/kernel_sums.hpp"

namespace learndock {

namespace {

/// Users whose candidates are copied together: their rows are shared among the threads.
constexpr Index users_together = 16;

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

  Embedding embedding(Index i) const {
    return {points.data() + offsets[i] * packed.dim, point_weights.data() + offsets[i], offsets[i + 1] - offsets[i],
            packed.dim};
  }
};

}  // namespace

void gram_matrices(const std::vector<PackedEmbeddings<float>>& batches, const EmbeddingPlace* places,
                   const double* self_inner, Index users, Index m, double gamma, ThreadTeam& team, double* gram,
                   double* errors) {
  std::vector<Candidates> candidates(std::min(users, users_together));
  std::vector<BoundedScratch<PreparedQuery>> scratch(team.size());
  std::vector<double> entry_errors(candidates.size() * static_cast<std::size_t>(m * m));
  for (Index first = 0; first < users; first += users_together) {
    const Index here = std::min(users_together, users - first);
    team.for_each(here, [&](Index u, int) { candidates[u].gather(batches, places + (first + u) * m, m); });
    team.for_each(here * m, [&](Index chunk, int worker) {
      const Index u = chunk / m, i = chunk % m;
      const Candidates& own = candidates[u];
      double* row = gram + ((first + u) * m + i) * m;
      double* row_errors = entry_errors.data() + chunk * m;
      row[i] = self_inner[(first + u) * m + i];
      if (i + 1 == m) return;
      const PreparedQuery query(own.embedding(i), gamma);
      bounded_products_of_run(query, own.packed, i + 1, m, TileRange(own.offsets[i + 1], own.offsets[m]),
                              scratch[worker], row + i + 1, row_errors + i + 1);
    });
    for (Index u = 0; u < here; ++u) {
      double* matrix = gram + (first + u) * m * m;
      double largest = 0;
      for (Index i = 0; i < m; ++i)
        for (Index j = i + 1; j < m; ++j) {
          matrix[j * m + i] = matrix[i * m + j];
          largest = std::max(largest, entry_errors[(u * m + i) * m + j]);
        }
      errors[first + u] = largest;
    }
  }
}

}  // namespace learndock
