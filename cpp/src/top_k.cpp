// SPDX-License-Identifier: Apache-2.0
#include "learndock/top_k.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace learndock {

std::vector<Index> top_k(const double* values, Index count, Index k) {
  std::vector<Index> order(count);
  std::iota(order.begin(), order.end(), Index{0});
  k = std::min(std::max(k, Index{0}), count);
  const auto before = [values](Index a, Index b) {
    const bool a_is_nan = std::isnan(values[a]), b_is_nan = std::isnan(values[b]);
    if (a_is_nan != b_is_nan) return b_is_nan;
    if (!a_is_nan && values[a] != values[b]) return values[a] < values[b];
    return a < b;
  };
  if (k < count) std::nth_element(order.begin(), order.begin() + k, order.end(), before);
  order.resize(k);
  std::sort(order.begin(), order.end(), before);
  return order;
}

}  // namespace learndock
