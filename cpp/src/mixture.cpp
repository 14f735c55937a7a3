// SPDX-License-Identifier: Apache-2.0
#include "learndock/mixture.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "learndock/simplex_qp.hpp"
#include "learndock/top_k.hpp"

namespace learndock {

namespace {

/// A step of the greedy rule must bring the MMD^2 to this share of what it was.
constexpr double greedy_decay = 0.95;
/// The rule "auto" keeps the heaviest learnwares up to this share of the weight.
constexpr double weight_share = 0.98;
/// The rank whose distance is the unit of the rule "distance".
constexpr Index reference_rank = 5;

struct Problem {
  const double* gram;
  const double* cross;
  double self;
  Index m;

  double mmd2_of(Index i) const { return gram[i * m + i] - 2 * cross[i] + self; }

  double mmd2(const double* w) const {
    double value = self;
    for (Index i = 0; i < m; ++i) {
      if (w[i] == 0) continue;
      double row = 0;
      for (Index j = 0; j < m; ++j) row += gram[i * m + j] * w[j];
      value += w[i] * (row - 2 * cross[i]);
    }
    return value;
  }
};

void by_distance(const Problem& problem, Index size, double* weights) {
  std::vector<double> distances(problem.m);
  for (Index i = 0; i < problem.m; ++i) distances[i] = std::max(0.0, problem.mmd2_of(i));
  const std::vector<Index> nearest = top_k(distances.data(), problem.m, size);
  const std::vector<Index> ranked = top_k(distances.data(), problem.m, reference_rank);
  const double unit = distances[ranked.back()];
  double sum = 0;
  for (Index i : nearest) {
    // Where the fifth nearest is a perfect match all five are: they share the weight.
    weights[i] = unit > 0 ? std::pow(1 + distances[i] / unit, -4) : double(distances[i] == 0);
    sum += weights[i];
  }
  for (Index i : nearest) weights[i] /= sum;
}

}  // namespace

struct MixtureSolver::State {
  QpSolver qp;
  /// The closest that a comparison of the latest solve was, in MMD^2 and in weight.
  double closest_mmd2 = 0, closest_weight = 0;
  std::vector<Index> members, order;
  std::vector<char> chosen;
  std::vector<double> K, c, trial, member_weights, best_weights;

  /// Row and column `place` of the members' own programme.
  void fill(const Problem& problem, Index place) {
    const Index n = static_cast<Index>(members.size());
    const Index member = members[place];
    for (Index j = 0; j < n; ++j) {
      K[place * n + j] = problem.gram[member * problem.m + members[j]];
      K[j * n + place] = problem.gram[members[j] * problem.m + member];
    }
    c[place] = problem.cross[member];
  }

  void fill(const Problem& problem) {
    for (std::size_t place = 0; place < members.size(); ++place) fill(problem, static_cast<Index>(place));
  }

  /// Solves for the weights of the members; returns the mixture's MMD^2.
  double solve(const Problem& problem, std::vector<double>& weights) {
    const Index n = static_cast<Index>(members.size());
    return problem.self + 2 * qp.simplex(K.data(), c.data(), n, weights.data()).objective;
  }

  void reserve(Index m, Index size) {
    const Index most = std::min(size, m);
    members.clear();
    members.reserve(most);
    chosen.assign(m, 0);
    K.resize(most * most);
    for (std::vector<double>* vector : {&c, &trial, &member_weights, &best_weights}) vector->resize(m);
  }

  void greedily(const Problem& problem, Index size, const RowWanted& row_wanted, double* weights) {
    double mmd2 = 0;
    closest_mmd2 = closest_weight = std::numeric_limits<double>::infinity();
    while (static_cast<Index>(members.size()) < std::min(size, problem.m)) {
      double best = 0, second = std::numeric_limits<double>::infinity();
      Index best_index = -1;
      const Index last = static_cast<Index>(members.size());
      if (last > 0 && row_wanted) row_wanted(members.back());
      members.push_back(0);
      fill(problem);
      for (Index i = 0; i < problem.m; ++i) {
        if (chosen[i]) continue;
        members.back() = i;
        fill(problem, last);
        const double value = solve(problem, trial);
        if (best_index < 0 || value < best) {
          if (best_index >= 0) second = best;
          best = value;
          best_index = i;
          std::swap(best_weights, trial);
        } else {
          second = std::min(second, value);
        }
      }
      if (last > 0) closest_mmd2 = std::min(closest_mmd2, std::abs(best - greedy_decay * mmd2));
      if (last > 0 && best > greedy_decay * mmd2) {
        members.pop_back();
        break;
      }
      closest_mmd2 = std::min(closest_mmd2, second - best);
      members.back() = best_index;
      chosen[best_index] = 1;
      mmd2 = best;
      std::swap(member_weights, best_weights);
    }
    spread(weights);
  }

  void by_heaviest(const Problem& problem, Index size, double* weights) {
    std::vector<double>& full = best_weights;
    qp.simplex(problem.gram, problem.cross, problem.m, full.data());
    order.resize(problem.m);
    std::iota(order.begin(), order.end(), Index{0});
    std::sort(order.begin(), order.end(),
              [&](Index a, Index b) { return full[a] != full[b] ? full[a] > full[b] : a < b; });
    closest_mmd2 = closest_weight = std::numeric_limits<double>::infinity();
    double sum = 0;
    for (Index i : order) {
      sum += full[i];
      closest_weight = std::min(closest_weight, std::abs(sum - weight_share));
      if (sum > weight_share || static_cast<Index>(members.size()) == size) break;
      members.push_back(i);
    }
    if (members.empty()) members.push_back(order.front());
    // The lightest that is in against the heaviest that is out.
    const std::size_t in = members.size();
    if (in < order.size()) closest_weight = std::min(closest_weight, full[order[in - 1]] - full[order[in]]);
    fill(problem);
    solve(problem, member_weights);
    spread(weights);
  }

  void spread(double* weights) const {
    for (std::size_t i = 0; i < members.size(); ++i) weights[members[i]] = member_weights[i];
  }
};

MixtureSolver::MixtureSolver() : state_(std::make_unique<State>()) {}

MixtureSolver::~MixtureSolver() = default;

bool MixtureSolver::is_sure(double gram_error) const {
  constexpr double least_weight = 1e-3;
  // Two values that each move by gram_error, the second 5 % less.
  return state_->closest_mmd2 > 2 * gram_error && state_->closest_weight > least_weight;
}

double MixtureSolver::solve(const double* gram, const double* cross, double self, Index m, MixtureRule rule, Index size,
                            double* weights, const RowWanted& row_wanted) {
  const Problem problem{gram, cross, self, m};
  std::fill(weights, weights + m, 0.0);
  switch (rule) {
    case MixtureRule::distance:
      by_distance(problem, size, weights);
      break;
    case MixtureRule::greedy:
      state_->reserve(m, size);
      state_->greedily(problem, size, row_wanted, weights);
      break;
    case MixtureRule::automatic:
      state_->reserve(m, size);
      state_->by_heaviest(problem, size, weights);
      break;
  }
  return problem.mmd2(weights);
}

}  // namespace learndock
