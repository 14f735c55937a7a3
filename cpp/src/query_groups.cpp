// SPDX-License-Identifier: Apache-2.0
#include "query_groups.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learndock/cpu_kernels.hpp"

namespace learndock {

namespace {

double squared_distance(const double* x, const double* y, Index dim) {
  double sum = 0;
  for (Index k = 0; k < dim; ++k) sum += (x[k] - y[k]) * (x[k] - y[k]);
  return sum;
}

void measure(QueryGroup& group, const Embedding& query, double gamma) {
  group.centre.assign(query.dim, 0.0);
  for (Index row : group.rows)
    for (Index k = 0; k < query.dim; ++k) group.centre[k] += query.points[row * query.dim + k];
  for (double& c : group.centre)
    c = static_cast<double>(static_cast<float>(c / static_cast<double>(group.rows.size())));
  group.radius = 0;
  double largest = 0;
  for (Index row : group.rows) {
    const double distance = squared_distance(query.points + row * query.dim, group.centre.data(), query.dim);
    group.radius = std::max(group.radius, gamma * distance);
    largest = std::max(largest, std::abs(query.weights[row]));
  }
  group.scale = static_cast<double>(std::max(static_cast<float>(largest), std::numeric_limits<float>::min()));
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

BlockPlace::BlockPlace(Index i, Index count, Index steps) {
  const Index block = i / query_block_rows * query_block_rows;
  stride = std::min<Index>(query_block_rows, count - block);
  first = block * steps + i % query_block_rows;
}

}  // namespace learndock
