// SPDX-License-Identifier: Apache-2.0
#include "learndock/simplex_qp.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace learndock {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;
using Eigen::Map;

/// First delta, in units of the problem's largest number. Large enough to keep the factor far from breakdown (1e-16 n),
/// small enough that two or three proximal steps end on the programme's own solution.
constexpr double first_proximal_weight = 1e-10;
/// A K that is semidefinite only up to rounding, of float32 say, needs more; a K that needs this much is indefinite.
constexpr double last_proximal_weight = 1e-4;
constexpr double proximal_growth = 100;
constexpr int proximal_steps = 50;
constexpr double tolerance = 1e-13;

enum class Feasible { simplex, nonnegative };

/// The gradient that every index of the support has at the solution.
double level_of(Feasible feasible, const Vector& gradient, const Vector& w) {
  return feasible == Feasible::simplex ? gradient.dot(w) : 0.0;
}

/// One proximal step: min 1/2 w'(K + delta I)w - target'w over the feasible weights, by an active set.
class ActiveSet {
 public:
  ActiveSet(const Matrix& K, Feasible feasible, double delta)
      : K_(K), feasible_(feasible), delta_(delta), lower_(K.rows(), K.rows()), position_(K.rows(), -1) {}

  /// Whether K + delta I was positive definite on every support so far.
  bool definite() const { return definite_; }

  void solve(const Vector& target, Vector& w) {
    const Index n = K_.rows();
    restart(w);
    // Each round adds an index and strictly lowers the objective; the cap only guards against rounding cycles.
    for (Index round = 0; definite_ && round < 10 * n + 20; ++round) {
      if (!minimise_on_support(target, w)) return;
      const Vector gradient = K_ * w + delta_ * w - target;
      const double level = level_of(feasible_, gradient, w);
      Index best = -1;
      double steepest = level - tolerance;
      for (Index i = 0; i < n; ++i)
        if (position_[i] < 0 && gradient[i] < steepest) {
          steepest = gradient[i];
          best = i;
        }
      if (best < 0) return;
      append(best);
      entering_ = best;
    }
  }

 private:
  void restart(const Vector& w) {
    support_.clear();
    std::fill(position_.begin(), position_.end(), -1);
    for (Index i = 0; i < w.size(); ++i)
      if (w[i] > 0) append(i);
    entering_ = -1;
  }

  /// Adds the index's row to the Cholesky factor of (K + delta I) on the support. The pivot of a semidefinite K is at
  /// least delta.
  void append(Index i) {
    const Index size = static_cast<Index>(support_.size());
    Vector row(size);
    for (Index s = 0; s < size; ++s) row[s] = K_(i, support_[s]);
    lower_.topLeftCorner(size, size).triangularView<Eigen::Lower>().solveInPlace(row);
    lower_.row(size).head(size) = row.transpose();
    const double pivot = K_(i, i) + delta_ - row.squaredNorm();
    definite_ = definite_ && pivot > 0.1 * delta_;
    lower_(size, size) = std::sqrt(std::max(pivot, delta_));
    position_[i] = size;
    support_.push_back(i);
  }

  void remove(const std::vector<Index>& leaving) {
    std::vector<Index> kept;
    for (Index i : support_)
      if (std::find(leaving.begin(), leaving.end(), i) == leaving.end()) kept.push_back(i);
    support_.clear();
    std::fill(position_.begin(), position_.end(), -1);
    for (Index i : kept) append(i);
  }

  Vector solve_factor(Vector right) const {
    const Index size = right.size();
    const auto corner = lower_.topLeftCorner(size, size);
    corner.triangularView<Eigen::Lower>().solveInPlace(right);
    corner.transpose().triangularView<Eigen::Upper>().solveInPlace(right);
    return right;
  }

  /// (K + delta I) v for v over the support.
  Vector on_support(const Vector& v) const {
    const Index size = v.size();
    Vector product = delta_ * v;
    for (Index s = 0; s < size; ++s)
      for (Index t = 0; t < size; ++t) product[s] += K_(support_[s], support_[t]) * v[t];
    return product;
  }

  /// Moves w to the minimum over its support, dropping indices on the way where it would turn
  /// negative. False when the index that entered last can't move (rounding): the solve is over.
  bool minimise_on_support(const Vector& target, Vector& w) {
    for (;;) {
      const Index size = static_cast<Index>(support_.size());
      Vector at(size), right(size);
      for (Index s = 0; s < size; ++s) {
        at[s] = w[support_[s]];
        right[s] = target[support_[s]];
      }
      // Solved for the move from where w is, not for its end: what the gradients share, which can be 1e10 times what
      // tells them apart, is gone before it is divided by a K that is nearly singular.
      right -= on_support(at);
      if (feasible_ == Feasible::simplex) right.array() -= right.mean();
      Vector move = solve_factor(right);
      move += solve_factor(right - on_support(move));  // one refinement: the move can be huge all the same
      if (feasible_ == Feasible::simplex) {
        const Vector ones = solve_factor(Vector::Ones(size));
        move += ones * ((1.0 - at.sum() - move.sum()) / ones.sum());
      }
      const Vector goal = at + move;

      double step = 1;
      for (Index s = 0; s < size; ++s)
        if (goal[s] <= 0 && at[s] - goal[s] > 0) step = std::min(step, at[s] / (at[s] - goal[s]));
      const bool stuck = step == 0 && entering_ >= 0 && goal[position_[entering_]] <= 0;
      std::vector<Index> leaving;
      for (Index s = 0; s < size; ++s) {
        const double moved = at[s] + step * (goal[s] - at[s]);
        const bool leaves = goal[s] <= 0 && moved <= 1e-15;
        w[support_[s]] = leaves ? 0.0 : moved;
        if (leaves) leaving.push_back(support_[s]);
      }
      if (stuck) {
        remove(leaving);
        return false;
      }
      if (leaving.empty()) return true;
      remove(leaving);
    }
  }

  const Matrix& K_;
  Feasible feasible_;
  double delta_;
  bool definite_ = true;
  Matrix lower_;
  std::vector<Index> support_;
  std::vector<Index> position_;  // place of an index in the support, -1 outside
  Index entering_ = -1;
};

/// How far w is from optimal: on the support every gradient equals the level, elsewhere none is below it.
double optimality_residual(Feasible feasible, const Vector& gradient, const Vector& w) {
  const double level = level_of(feasible, gradient, w);
  double worst = 0;
  for (Index i = 0; i < w.size(); ++i)
    worst = std::max(worst, w[i] > 0 ? std::abs(gradient[i] - level) : level - gradient[i]);
  return worst;
}

Vector start_weights(const Matrix& K, const Vector& c, Feasible feasible) {
  Vector w = Vector::Zero(K.rows());
  if (feasible == Feasible::simplex) {
    Index best = 0;  // the best single index
    (0.5 * K.diagonal() - c).minCoeff(&best);
    w[best] = 1;
  }
  return w;
}

QpResult solve(const double* K_data, const double* c_data, Index n, Feasible feasible, double* weights, bool warm) {
  const Map<const Matrix> K_given(K_data, n, n);
  const Map<const Vector> c_given(c_data, n);
  Map<Vector> result(weights, n);
  // In units of its largest numbers: neither tiny nor huge problems leave float64's range.
  const double largest = K_given.diagonal().cwiseAbs().maxCoeff() + c_given.cwiseAbs().maxCoeff();
  const double unit = largest > 0 ? largest : 1.0;
  const Matrix K = K_given / unit;
  const Vector c = c_given / unit;
  const auto make_feasible = [&](Vector& w) {
    w = w.cwiseMax(0.0);
    if (feasible == Feasible::simplex) w /= w.sum();
  };

  Vector start = warm ? Vector(result) : start_weights(K, c, feasible);
  make_feasible(start);
  QpResult best;
  for (double delta = first_proximal_weight;; delta *= proximal_growth) {
    Vector w = start;
    ActiveSet active(K, feasible, delta);
    best = QpResult{};
    for (int step = 0; step < proximal_steps; ++step) {
      active.solve(c + delta * w, w);
      make_feasible(w);
      const Vector gradient = K * w - c;
      const double objective = 0.5 * (w.dot(gradient) - c.dot(w));
      const double residual = optimality_residual(feasible, gradient, w);
      const double gain = best.objective - objective;
      if (step == 0 || gain > 0 || residual < best.residual) {
        best.objective = objective;
        best.residual = residual;
        result = w;
      }
      if (!active.definite() || residual <= 10 * tolerance || (step > 0 && gain <= 1e-16)) break;
    }
    if (active.definite()) break;
    if (delta >= last_proximal_weight) {
      best.residual = std::numeric_limits<double>::infinity();
      break;
    }
  }
  best.objective *= unit;
  best.residual *= unit;
  return best;
}

}  // namespace

QpResult simplex_qp(const double* K, const double* c, Index n, double* weights, bool warm) {
  return solve(K, c, n, Feasible::simplex, weights, warm);
}

QpResult nonnegative_qp(const double* K, const double* c, Index n, double* weights, bool warm) {
  return solve(K, c, n, Feasible::nonnegative, weights, warm);
}

}  // namespace learndock
