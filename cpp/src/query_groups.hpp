// SPDX-License-Identifier: Apache-2.0
//
// The rows of a query, cut into groups of one sign that lie close together: float32 and 16-bit integers keep their
// digits only around a centre that is near.
#pragma once

#include <vector>

#include "learndock/embedding.hpp"

namespace learndock {

/// Rows of one sign within a distance of their centroid, or one row alone.
struct QueryGroup {
  std::vector<Index> rows;
  std::vector<double> centre;   ///< a float in each coordinate: what a float32 kernel subtracts is exactly this
  std::vector<double> shifted;  ///< [rows, dim] x - centre
  std::vector<double> norms;    ///< [rows] ||x - centre||^2
  double radius = 0;            ///< largest gamma ||x - centre||^2
  double scale = 0;             ///< largest |weight|, a normal float
  double sign = 1;

  Index count() const { return static_cast<Index>(rows.size()); }
};

/// Groups with radius <= largest_radius; rows of weight 0 are in none.
std::vector<QueryGroup> query_groups(const Embedding& query, double gamma, double largest_radius);

/// log2(weight / scale), the float32 number that rides in the exponents. Relative error 2^-23, or float64's below
/// 2^-30.
double log_weight(double weight, double scale);

/// Where row `i` of `count` lies in blocks of query_block_rows: its first element, and how far on the next step lies.
struct BlockPlace {
  Index first;
  Index stride;
  BlockPlace(Index i, Index count, Index steps);
};

}  // namespace learndock
