// SPDX-License-Identifier: Apache-2.0
//
// The quadratic programme of weights on a simplex:
//
//   minimise 1/2 w' K w - c' w   subject to w >= 0, sum w = 1,   K [n, n] symmetric, positive semidefinite
//
// (weights of a reduced set: Wu et al., TKDE 2023, equation 9; weights of a mixture: the same with K the Gram matrix of
// the embeddings). K may be singular: proximal steps, minimise ... + delta/2 ||w - w_previous||^2, keep every system
// well conditioned and converge to a solution of the programme itself. Each step is solved by an active set: the index
// with the steepest descent joins the support, an index that would turn negative leaves (Lawson & Hanson 1974, with
// the sum as an equality). The Cholesky factor of the support grows by a row in O(n^2).
#pragma once

#include "learndock/embedding.hpp"

namespace learndock {

struct QpResult {
  double objective = 0;  ///< 1/2 w' K w - c' w
  /// Largest violation of the optimality conditions, in units of the gradient; infinite where K is not semidefinite.
  double residual = 0;
};

/// weights [n]: a start on entry where `warm`, else ignored; the solution on return.
QpResult simplex_qp(const double* K, const double* c, Index n, double* weights, bool warm = false);

/// The same programme without sum w = 1.
QpResult nonnegative_qp(const double* K, const double* c, Index n, double* weights, bool warm = false);

}  // namespace learndock
