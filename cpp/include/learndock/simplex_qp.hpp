// SPDX-License-Identifier: Apache-2.0
//
// The quadratic programme of weights on a simplex:
//
//   minimise 1/2 w' K w - c' w   subject to w >= 0, sum w = 1,   K [n, n] symmetric, positive semidefinite
//
// (weights of a reduced set: Wu et al., TKDE 2023, equation 9; weights of a mixture: the same with K the Gram matrix of
// the embeddings). K may be singular: proximal steps, minimise ... + delta/2 ||w - w_previous||^2, keep every system
// well conditioned and converge to a solution of the programme itself. A step is solved exactly, by its support:
//
//   1. Block principal pivoting (Judice & Pires, Computers & Operations Research 1994; Kim & Park, SIAM J. Sci. Comput.
//      2011): solve for a guess of the support, exchange all indices with a wrong sign, and again. From the full
//      support most problems need 3 to 8 rounds, each one Cholesky factorisation of a support that shrinks.
//   2. Where that cycles, or meets a K that is not semidefinite, an active set (Lawson & Hanson 1974, with the sum as
//      an equality): the index with the steepest descent joins the support, one that would turn negative leaves.
//
// Cost: about |support|^3 / 6 multiplications a round, of which the part before the first exchanged index is kept. One
// core of an AMD EPYC (Zen 5) solves 1.5 to 2 million a second at n = 5, 13,000 to 35,000 at n = 100, and 6,000 there
// where K has rank 25 and c noise outside its range, on which the pivoting cycles.
#pragma once

#include <memory>

#include "learndock/embedding.hpp"

namespace learndock {

struct QpResult {
  double objective = 0;  ///< 1/2 w' K w - c' w
  /// Largest violation of the optimality conditions, in units of the gradient; infinite where K is not semidefinite.
  double residual = 0;
};

/// Solves one problem after another in the same memory, which grows to the largest of them: no allocation after that.
class QpSolver {
 public:
  QpSolver();
  ~QpSolver();
  QpSolver(const QpSolver&) = delete;
  QpSolver& operator=(const QpSolver&) = delete;

  /// weights [n]: a start on entry where `warm`, else ignored; the solution on return.
  QpResult simplex(const double* K, const double* c, Index n, double* weights, bool warm = false);

  /// The same programme without sum w = 1.
  QpResult nonnegative(const double* K, const double* c, Index n, double* weights, bool warm = false);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// One problem, in memory of its own.
QpResult simplex_qp(const double* K, const double* c, Index n, double* weights, bool warm = false);
QpResult nonnegative_qp(const double* K, const double* c, Index n, double* weights, bool warm = false);

/// Whether all numbers are finite and at most 1e150, and K is symmetric up to 1e-8 of its largest entry.
bool is_valid_qp(const double* K, const double* c, Index n);

}  // namespace learndock
