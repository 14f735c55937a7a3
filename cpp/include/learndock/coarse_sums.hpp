// SPDX-License-Identifier: Apache-2.0
//
// Inner products of kernel mean embeddings with points rounded to 16-bit integers, and a bound on the error: the first
// pass of an exact search, at about half the cost of float32. What the bound can't decide is computed again.
//
// Rows x and points y are scaled about the query's centroid and rounded; their inner products are exact in 32 bits, so
// a kernel value is exactly that of x + dx and y + dy, with |dx| + |dy| <= delta. With t = sqrt(gamma) ||x - y|| and
// a = sqrt(gamma) delta it is off by at most
//
//   |k - k'| <= k' (exp(2 t a + a^2) - 1) <= (1 + 21 a) (2 a t k' + a^2 k')       for t <= 9.4, a <= 0.01
//
// (beyond, k' < 2^-125, float32's end). t k' = k' sqrt(-ln k') is concave in k', so its sum over rows of weights a_i is
// at most A m sqrt(-ln m) with A = sum a_i and m = sum a_i k'_i / A (Jensen). Then float32 in the exponent and the sum:
//
//   u [ 16 (X + Y) + 5 W + count + 36 ]   relative, in the terms of kernel_sums.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "learndock/cpu_kernels.hpp"
#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

struct QueryGroup;

/// A query prepared for the integer kernel. Owns its memory.
class CoarseQuery {
 public:
  CoarseQuery(const Embedding& query, double gamma);

  Index dim() const { return dim_; }
  Index row_count() const { return group_begin_.back(); }

  /// Whether the instruction set has products of pairs, and the coordinates are few enough for sums in 32 bits.
  bool possible() const;

  /// Whether the pass costs less than float32: coordinates enough, and rows that don't lie all over the place.
  bool pays() const;

  using Scratch = std::int32_t;

  /// values and error bounds at all points of the tiles; `pairs` is scratch of embed_scratch_size(dim).
  void embed(const PointTiles& tiles, std::int32_t* pairs, float* values, float* errors) const;

 private:
  void add_group(const Embedding& query, const QueryGroup& group);

  Index dim_;
  double gamma_;
  std::vector<Index> group_begin_{0};
  std::vector<float> centres_, signs_, scales_, factors_, magnitudes_, row_deltas_, error_terms_, error_floors_;
  std::vector<std::int32_t> rows_;
  std::vector<float> row_terms_;
};

/// products[q, i] = <queries[q], batch[i]> and |products[q, i] - exact| <= errors[q, i]. Throws std::invalid_argument
/// where the pass is not possible.
void inner_products(const std::vector<const CoarseQuery*>& queries, const PackedEmbeddings<float>& batch,
                    ThreadTeam& team, double* products, double* errors);

/// products[i] = <query, chosen[i]> for embeddings of several batches, likewise.
void chosen_inner_products(const CoarseQuery& query, const std::vector<PackedEmbeddings<float>>& batches,
                           const std::vector<EmbeddingPlace>& chosen, ThreadTeam& team, double* products,
                           double* errors);

}  // namespace learndock
