// SPDX-License-Identifier: Apache-2.0
//
// Gram matrices of a few stored embeddings each, for many users at once:
//
//   gram[u, i, j] = <P_i, P_j>  over the candidates P_0 .. P_{m-1} of user u
//
// Cost a user: m (m - 1) / 2 inner products of kernel_sums.hpp; the candidates are copied once, so that the points of
// all that follow a candidate are one stream. Memory: a user's points in float32, for as many users as threads need.
#pragma once

#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// A stored embedding: which batch, and which of its embeddings.
struct EmbeddingPlace {
  Index batch = 0;
  Index index = 0;
};

/// places [users, m]; self_inner [users, m] = <P_i, P_i>, taken over; gram [users, m, m] in float32 arithmetic,
/// symmetric, and errors [users], a bound on the error of every entry of a user's matrix.
void gram_matrices(const std::vector<PackedEmbeddings<float>>& batches, const EmbeddingPlace* places,
                   const double* self_inner, Index users, Index m, double gamma, ThreadTeam& team, double* gram,
                   double* errors);

}  // namespace learndock
