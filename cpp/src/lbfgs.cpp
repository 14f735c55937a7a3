// SPDX-License-Identifier: Apache-2.0
#include "lbfgs.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace learndock {

namespace {

constexpr std::size_t memory = 20;
constexpr double sufficient_decrease = 1e-4;
/// The search ends when a step lowers the value by less than this share of it.
constexpr double negligible_gain = 1e-7;

using Vector = Eigen::Map<const Eigen::VectorXd>;

Vector view(const std::vector<double>& values) { return {values.data(), static_cast<Eigen::Index>(values.size())}; }

double dot(const std::vector<double>& a, const std::vector<double>& b) { return view(a).dot(view(b)); }

void add(std::vector<double>& to, double factor, const std::vector<double>& what) {
  Eigen::Map<Eigen::VectorXd>(to.data(), static_cast<Eigen::Index>(to.size())) += factor * view(what);
}

/// -H g by the two-loop recursion.
std::vector<double> descent_direction(const std::deque<LbfgsHistory::Pair>& pairs,
                                      const std::vector<double>& gradient) {
  std::vector<double> direction = gradient;
  std::vector<double> factors(pairs.size());
  for (std::size_t i = pairs.size(); i-- > 0;) {
    factors[i] = dot(pairs[i].step, direction) / pairs[i].curvature;
    add(direction, -factors[i], pairs[i].change);
  }
  if (!pairs.empty()) {
    const LbfgsHistory::Pair& last = pairs.back();
    const double scale = last.curvature / dot(last.change, last.change);
    for (double& d : direction) d *= scale;
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const double factor = dot(pairs[i].change, direction) / pairs[i].curvature;
    add(direction, factors[i] - factor, pairs[i].step);
  }
  for (double& d : direction) d = -d;
  return direction;
}

}  // namespace

LbfgsResult minimise_lbfgs(const ObjectiveFunction& objective, std::vector<double> x, Index max_evaluations,
                           LbfgsHistory& history) {
  LbfgsResult result;
  std::vector<double> gradient(x.size()), next_gradient(x.size());
  double value = objective(x, gradient);
  result.evaluations = 1;
  std::deque<LbfgsHistory::Pair>& pairs = history.pairs;
  while (result.evaluations < max_evaluations) {
    std::vector<double> direction = descent_direction(pairs, gradient);
    double slope = dot(direction, gradient);
    if (!(slope < 0)) break;
    // Without curvature the length is a guess: a tenth of the variables' unit.
    double step = pairs.empty() ? 0.1 * std::sqrt(static_cast<double>(x.size())) / std::sqrt(-slope) : 1.0;
    std::vector<double> next;
    double next_value = value;
    bool accepted = false;
    while (!accepted && result.evaluations < max_evaluations) {
      next = x;
      add(next, step, direction);
      next_value = objective(next, next_gradient);
      ++result.evaluations;
      accepted = next_value <= value + sufficient_decrease * step * slope;
      if (!accepted) {
        // The minimum of the parabola through the value, the slope and the new value, kept within bounds.
        const double excess = next_value - value - step * slope;
        const double minimum = -slope * step * step / (2 * excess);
        step = std::isfinite(minimum) ? std::min(std::max(minimum, 0.1 * step), 0.5 * step) : 0.1 * step;
      }
    }
    if (!accepted) break;
    LbfgsHistory::Pair pair{next, next_gradient, 0};
    add(pair.step, -1, x);
    add(pair.change, -1, gradient);
    pair.curvature = dot(pair.step, pair.change);
    if (pair.curvature > 1e-10 * dot(pair.change, pair.change)) {
      pairs.push_back(std::move(pair));
      if (pairs.size() > memory) pairs.pop_front();
    }
    const double gain = value - next_value;
    x.swap(next);
    gradient.swap(next_gradient);
    value = next_value;
    if (gain <= negligible_gain * value) break;
  }
  result.x = std::move(x);
  result.value = value;
  return result;
}

}  // namespace learndock
