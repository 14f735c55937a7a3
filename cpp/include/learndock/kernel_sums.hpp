// SPDX-License-Identifier: Apache-2.0
//
// Inner products of kernel mean embeddings, in batches:
//
//   <P, Q> = sum_ij a_i b_j k(x_i, y_j),   ||mu_P - mu_Q||^2 = <P, P> - 2 <P, Q> + <Q, Q>
//   (squared MMD; Gretton et al., JMLR 2012, Lemma 6)
//
// Cost: 2 K K' dim flops and K K' exponentials a pair of embeddings, every stored point read once; no K x K' matrix is
// ever in memory. Sums over the points of an embedding are float64 in all variants.
//
// The float32 kernel expands ||x - y||^2 = ||x||^2 + ||y||^2 - 2 <x, y> around the query's own centroid (the kernel is
// translation invariant) and bounds its error, to first order in u = 2^-24 and with gamma-scaled squares X, Y of the
// two norms about the centre, by a relative
//
//   u [ 3 (dim + 4) (X + Y) + (dim + 4) W + count + 20 ]
//
// (and 3 * 2^-16 (X + Y) more where products are of split bfloat16) a kernel value: dim + 1 roundings in the exponent's
// chain and in each norm, each at most the sum of the terms' magnitudes 2 (X + Y) + W, with W = |log(weight / largest
// weight)|, which rides in the exponent; two for the shift, the rest for exp2 and the sum over `count` rows; and by
// 2^-124 of the largest weight a row where values underflow. The bound is for the worst case: measured errors are some
// fifty times smaller. A query whose rows lie far apart is cut into groups with X <= 4 each. Callers recompute in
// float64 what the bound cannot separate.
#pragma once

#include <cstdint>
#include <vector>

#include "learndock/cpu_kernels.hpp"
#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

struct QueryGroup;

/// A query prepared for the float32 kernel: rows grouped, shifted and scaled. Owns its memory.
class PreparedQuery {
 public:
  PreparedQuery(const Embedding& query, double gamma);

  Index dim() const { return dim_; }
  Index group_count() const { return static_cast<Index>(signs_.size()); }
  Index row_count() const { return group_begin_.back(); }

  using Scratch = float;

  /// values and error bounds at all points of the tiles; `shifted` is scratch of embed_scratch_size(dim).
  void embed(const PointTiles& tiles, float* shifted, float* values, float* errors) const;

 private:
  void add_group(const Embedding& query, const QueryGroup& group, double gamma);
  void add_split_rows(const QueryGroup& group, double gamma);

  Index dim_;
  float exponent_scale_;
  float error_slope_;
  std::vector<Index> group_begin_{0};
  std::vector<std::uint32_t> split_rows_;
  std::vector<float> centres_, signs_, error_terms_, error_floors_, scales_, rows_, row_terms_, least_terms_,
      row_reaches_;
};

/// float32: products[q, i] = <queries[q], batch[i]> and |products[q, i] - exact| <= errors[q, i].
void inner_products(const std::vector<const PreparedQuery*>& queries, const PackedEmbeddings<float>& batch,
                    ThreadTeam& team, double* products, double* errors);

/// float32: products[i] = <query, chosen[i]> for embeddings of several batches, and bounds as above.
void chosen_inner_products(const PreparedQuery& query, const std::vector<PackedEmbeddings<float>>& batches,
                           const std::vector<EmbeddingPlace>& chosen, ThreadTeam& team, double* products,
                           double* errors);

/// float64: products[q, i] = <queries[q], batch[i]>.
template <class Scalar>
void inner_products(const std::vector<Embedding>& queries, const PackedEmbeddings<Scalar>& batch, double gamma,
                    ThreadTeam& team, double* products);

/// float64: products[i] = <queries[asking[i]], chosen[i]>. Many queries in one call share the threads; pairs with one
/// chosen embedding are best next to each other.
void chosen_inner_products(const std::vector<Embedding>& queries, const std::vector<PackedEmbeddings<float>>& batches,
                           const Index* asking, const std::vector<EmbeddingPlace>& chosen, double gamma,
                           ThreadTeam& team, double* products);

/// float64: products[i] = <batch[i], batch[i]>.
template <class Scalar>
void self_inner_products(const PackedEmbeddings<Scalar>& batch, double gamma, ThreadTeam& team, double* products);

/// float64: values[p] = mu(y_p) = sum_i a_i k(x_i, y_p) for rows y [point_count, dim].
void embed_points(const Embedding& embedding, const double* points, Index point_count, double gamma, ThreadTeam& team,
                  double* values);

}  // namespace learndock
