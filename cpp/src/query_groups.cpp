// SPDX-License-Identifier: Apache-2.0
#include "query_groups.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learndock/cpu_kernels.hpp"

namespace learndock {

namespace {

double squared_distance(const double* x, const double* y, Index dim) {
  constexpr int chains = 4;  // one sum alone would wait for each of its additions
  double sums[chains] = {};
  Index k = 0;
  for (; k + chains <= dim; k += chains)
    for (int chain = 0; chain < chains; ++chain)
      sums[chain] += (x[k + chain] - y[k + chain]) * (x[k + chain] - y[k + chain]);
  for (; k < dim; ++k) sums[0] += (x[k] - y[k]) * (x[k] - y[k]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

void measure(QueryGroup& group, const Embedding& query, double gamma) {
  const Index dim = query.dim;
  group.centre.assign(dim, 0.0);
  for (Index row : group.rows)
    for (Index k = 0; k < dim; ++k) group.centre[k] += query.points[row * dim + k];
  for (double& c : group.centre) c = static_cast<double>(static_cast<float>(c / static_cast<double>(group.count())));
  group.shifted.resize(group.count() * dim);
  group.norms.resize(group.count());
  double largest_norm = 0, largest_weight = 0;
  const std::vector<double> origin(dim, 0.0);
  for (Index i = 0; i < group.count(); ++i) {
    const double* x = query.points + group.rows[i] * dim;
    double* to = group.shifted.data() + i * dim;
    for (Index k = 0; k < dim; ++k) to[k] = x[k] - group.centre[k];
    group.norms[i] = squared_distance(to, origin.data(), dim);
    largest_norm = std::max(largest_norm, group.norms[i]);
    largest_weight = std::max(largest_weight, std::abs(query.weights[group.rows[i]]));
  }
  group.radius = gamma * largest_norm;
  group.scale = static_cast<double>(std::max(static_cast<float>(largest_weight), std::numeric_limits<float>::min()));
  group.sign = query.weights[group.rows.front()] < 0 ? -1 : 1;
}

Index farthest_from(const QueryGroup& group, const Embedding& query, const double* point) {
  return *std::max_element(group.rows.begin(), group.rows.end(), [&](Index a, Index b) {
    return squared_distance(query.points + a * query.dim, point, query.dim) <
           squared_distance(query.points + b * query.dim, point, query.dim);
  });
}

}  // namespace

std::vector<QueryGroup> query_groups(const Embedding& query, double gamma, double largest_radius) {
  std::vector<QueryGroup> groups, pending(2);
  for (Index row = 0; row < query.count; ++row)
    if (query.weights[row] != 0) pending[query.weights[row] < 0].rows.push_back(row);
  while (!pending.empty()) {
    QueryGroup group = std::move(pending.back());
    pending.pop_back();
    if (group.rows.empty()) continue;
    measure(group, query, gamma);
    if (group.radius <= largest_radius || group.rows.size() == 1) {
      groups.push_back(std::move(group));
      continue;
    }
    // Halves by the nearer of two rows that lie far apart.
    const double* a = query.points + query.dim * farthest_from(group, query, group.centre.data());
    const double* b = query.points + query.dim * farthest_from(group, query, a);
    QueryGroup halves[2];
    for (Index row : group.rows) {
      const double* x = query.points + row * query.dim;
      halves[squared_distance(x, b, query.dim) < squared_distance(x, a, query.dim)].rows.push_back(row);
    }
    if (halves[1].rows.empty()) {  // all rows equal up to rounding: no cut can help
      groups.push_back(std::move(group));
      continue;
    }
    for (QueryGroup& half : halves) pending.push_back(std::move(half));
  }
  return groups;
}

double log_weight(double weight, double scale) {
  constexpr double smallest = 1.0 / (1 << 30);
  const double share = weight / scale;
  return share >= smallest ? static_cast<double>(std::log2(static_cast<float>(share))) : std::log2(share);
}

BlockPlace::BlockPlace(Index i, Index count, Index steps) {
  const Index block = i / query_block_rows * query_block_rows;
  stride = std::min<Index>(query_block_rows, count - block);
  first = block * steps + i % query_block_rows;
}

}  // namespace learndock
