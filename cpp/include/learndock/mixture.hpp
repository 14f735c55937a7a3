// SPDX-License-Identifier: Apache-2.0
//
// Mixtures of embeddings mu_1 .. mu_m for a user mu_u, from inner products alone:
//
//   gram [m, m] = <mu_i, mu_j>,  cross [m] = <mu_i, mu_u>,  self = <mu_u, mu_u>
//   ||sum_i w_i mu_i - mu_u||^2 = w' gram w - 2 cross' w + self,   w >= 0, sum w = 1
//
// Candidates come nearest first. Three rules:
//   distance  the `size` nearest with w_i ~ (1 + d_i / d_(5))^-4, d_i = MMD^2, d_(5) the fifth smallest (the largest
//             where there are fewer): weights that are optimal for the MMD are too concentrated for the loss
//   greedy    one at a time the candidate whose addition, all weights re-solved, lowers the MMD^2 most, until the gain
//             is under 5 % or `size` is reached (the reference's rule)
//   automatic the programme over all candidates at once; the heaviest while their weights sum to at most 0.98, at most
//             `size` of them, re-solved (the reference's rule "auto")
#pragma once

#include <functional>
#include <memory>

#include "learndock/embedding.hpp"

namespace learndock {

enum class MixtureRule { distance, greedy, automatic };

/// Solves for one user after another in the same memory.
class MixtureSolver {
 public:
  MixtureSolver();
  ~MixtureSolver();
  MixtureSolver(const MixtureSolver&) = delete;
  MixtureSolver& operator=(const MixtureSolver&) = delete;

  /// Asked for a row and column of the Gram matrix, and told nothing else: what it gives must lie in `gram` on return.
  using RowWanted = std::function<void(Index row)>;

  /// weights [m] receives the mixture, 0 for those left out; returns its MMD^2 to the user. With `row_wanted`, greedy
  /// needs only the diagonal of `gram` to begin with, and asks for the rows of the members as it chooses them.
  double solve(const double* gram, const double* cross, double self, Index m, MixtureRule rule, Index size,
               double* weights, const RowWanted& row_wanted = {});

  /// Whether the latest solve would have chosen the same members from any gram within `gram_error` of its own: greedy
  /// compares MMD^2 values, which then move by as much; "auto" compares weights, of which this asks 1e-3 between them.
  bool is_sure(double gram_error) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace learndock
