// SPDX-License-Identifier: Apache-2.0
//
// Mixtures of stored embeddings for many users at once, from their candidates to the weights.
//
// The members are chosen from a Gram matrix in float32 arithmetic where its error can't change the choice (see
// MixtureSolver::is_sure), else from one in float64; weights and MMD^2 are those of the members' products in float64.
// Cost a user: for greedy, members x m inner products in float32, for "auto" m (m - 1) / 2; and (members)^2 / 2 in
// float64. Where the users of a batch have most of their candidates in common, the products of all of these are
// computed once for all users.
#pragma once

#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/mixture.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// The candidates of many users, nearest first. Does not own its arrays.
struct MixtureCandidates {
  const EmbeddingPlace* places = nullptr;  ///< [users, m]
  const double* cross = nullptr;           ///< [users, m] <P_i, user>
  const double* self_inner = nullptr;      ///< [users, m] <P_i, P_i>
  const double* user_self = nullptr;       ///< [users] <user, user>
  Index users = 0;
  Index m = 0;
};

/// weights [users, m] receives the mixtures, 0 for what is left out, and mmd2 [users] their squared MMD to the user.
void search_mixtures(const std::vector<PackedEmbeddings<float>>& batches, const MixtureCandidates& candidates,
                     double gamma, MixtureRule rule, Index size, ThreadTeam& team, double* weights, double* mmd2);

/// What one more member would bring: values[i] = the smallest squared MMD of weights on s chosen embeddings and
/// candidate i. gram [s, s] and cross [s] of the chosen, self = <user, user>; products [s, count] = <chosen,
/// candidate>, candidate_cross [count], candidate_self [count].
struct Extension {
  const double* gram = nullptr;
  const double* cross = nullptr;
  double self = 0;
  const double* products = nullptr;
  const double* candidate_cross = nullptr;
  const double* candidate_self = nullptr;
  Index s = 0;
  Index count = 0;
};

void extended_mmd2(const Extension& extension, ThreadTeam& team, double* values);

}  // namespace learndock
