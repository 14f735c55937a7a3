// SPDX-License-Identifier: Apache-2.0
//
// Limited-memory BFGS for smooth functions that are never negative, with a budget of evaluations (Nocedal & Wright,
// Numerical Optimization, algorithms 7.4 and 7.5). A step is accepted when it decreases the function enough (Armijo);
// curvature pairs that are not positive are left out.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "learndock/embedding.hpp"

namespace learndock {

/// Returns the function's value at x and writes its gradient.
using ObjectiveFunction = std::function<double(const std::vector<double>& x, std::vector<double>& gradient)>;

struct LbfgsResult {
  std::vector<double> x;  ///< the best point seen
  double value = 0;
  Index evaluations = 0;
};

/// What the search has learned of the function's curvature: the latest steps and how the gradient changed along them.
/// A later search may start with it, on the same function or on one close to it.
struct LbfgsHistory {
  struct Pair {
    std::vector<double> step, change;
    double curvature;  ///< step' change > 0
  };
  std::deque<Pair> pairs;
};

LbfgsResult minimise_lbfgs(const ObjectiveFunction& objective, std::vector<double> x, Index max_evaluations,
                           LbfgsHistory& history);

}  // namespace learndock
