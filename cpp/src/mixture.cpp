// SPDX-License-Identifier: Apache-2.0
#include "learndock/mixture.hpp"

#include <algorithm>
#include <cmath>
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

  /// Solves for the weights of the members; returns the mixture's MMD^2.
  double solve(const std::vector<Index>& members, std::vector<double>& weights) const {
    const Index n = static_cast<Index>(members.size());
    std::vector<double> K(n * n), c(n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) K[i * n + j] = gram[members[i] * m + members[j]];
      c[i] = cross[members[i]];
    }
    weights.assign(n, 0.0);
    return self + 2 * simplex_qp(K.data(), c.data(), n, weights.data()).objective;
  }

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

void greedily(const Problem& problem, Index size, double* weights) {
  std::vector<Index> members;
  std::vector<double> member_weights, trial;
  std::vector<char> chosen(problem.m, 0);
  double mmd2 = 0;
  while (static_cast<Index>(members.size()) < std::min(size, problem.m)) {
    double best = 0;
    Index best_index = -1;
    std::vector<double> best_weights;
    members.push_back(-1);
    for (Index i = 0; i < problem.m; ++i) {
      if (chosen[i]) continue;
      members.back() = i;
      const double value = problem.solve(members, trial);
      if (best_index < 0 || value < best) {
        best = value;
        best_index = i;
        best_weights = trial;
      }
    }
    if (members.size() > 1 && best > greedy_decay * mmd2) {
      members.pop_back();
      break;
    }
    members.back() = best_index;
    chosen[best_index] = 1;
    mmd2 = best;
    member_weights = best_weights;
  }
  for (std::size_t i = 0; i < members.size(); ++i) weights[members[i]] = member_weights[i];
}

void by_heaviest(const Problem& problem, Index size, double* weights) {
  std::vector<Index> all(problem.m);
  std::iota(all.begin(), all.end(), Index{0});
  std::vector<double> full, kept_weights;
  problem.solve(all, full);
  std::stable_sort(all.begin(), all.end(), [&](Index a, Index b) { return full[a] > full[b]; });
  std::vector<Index> members;
  double sum = 0;
  for (Index i : all) {
    sum += full[i];
    if (sum > weight_share || static_cast<Index>(members.size()) == size) break;
    members.push_back(i);
  }
  if (members.empty()) members.push_back(all.front());
  problem.solve(members, kept_weights);
  for (std::size_t i = 0; i < members.size(); ++i) weights[members[i]] = kept_weights[i];
}

}  // namespace

double mixture(const double* gram, const double* cross, double self, Index m, MixtureRule rule, Index size,
               double* weights) {
  const Problem problem{gram, cross, self, m};
  std::fill(weights, weights + m, 0.0);
  switch (rule) {
    case MixtureRule::distance:
      by_distance(problem, size, weights);
      break;
    case MixtureRule::greedy:
      greedily(problem, size, weights);
      break;
    case MixtureRule::automatic:
      by_heaviest(problem, size, weights);
      break;
  }
  return problem.mmd2(weights);
}

}  // namespace learndock
