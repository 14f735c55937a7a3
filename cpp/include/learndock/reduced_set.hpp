// SPDX-License-Identifier: Apache-2.0
//
// The reduced set of a data set: K points z_j and weights beta_j whose embedding is close to that of the n rows x_i,
//
//   minimise  || 1/n sum_i k(x_i, .) - sum_j beta_j k(z_j, .) ||^2  =  <mu_X, mu_X> - 2 beta' m + beta' K_ZZ beta,
//   m_j = 1/n sum_i k(x_i, z_j)         (RKME: Wu et al., TKDE 2023; reduced sets: Scholkopf et al., 1999)
//
// over points *and* weights at once by L-BFGS (Nocedal & Wright, algorithm 7.5) from given points; the weights are then
// solved for exactly. One evaluation of objective and gradient costs about 6 n K dim flops and n K exponentials; memory
// is O(n dim + K dim + K^2).
//
// Above 16,384 rows the descent first sees a random sample of them (8,192, or n / 12), then all for its last steps, in
// float32 where the rows lie within 100 / sqrt(gamma) of their mean. The weights are still solved for over all rows, in
// float64.
//
// <mu_X, mu_X>, on which neither points nor weights depend, takes n^2 / 2 kernel values: above 3,000 rows it is
// estimated without bias from 10^7 pairs of rows, in float32 from 2.5 10^7 or 256 n.
//
// The kernel mean of n rows has a squared norm near 1/n where rows are strangers to each other, K points of total
// weight 1 one of at least 1/K. Forcing the sum to 1 then costs more than all else: measured with K = 100, the squared
// MMD is 1.7 times larger on breast cancer (d 30, gamma 0.1) and 14 times on five Gaussians in d 32.
#pragma once

#include <cstdint>
#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

enum class WeightRule {
  nonnegative,  ///< beta >= 0
  simplex,      ///< beta >= 0, sum 1
  free,         ///< any real numbers
};

struct ReducedSet {
  std::vector<double> points;   ///< [K, dim]
  std::vector<double> weights;  ///< [K]
  double mmd2 = 0;              ///< squared MMD to the rows
  double standard_error = 0;    ///< of mmd2; 0 where it is of all pairs of rows
  Index evaluations = 0;        ///< of objective and gradient, in passes over all rows
};

/// rows [n, dim] row-major; start [K, dim] the first points, K >= 1; seed chooses the sample.
ReducedSet fit_reduced_set(const double* rows, Index n, Index dim, const double* start, Index K, double gamma,
                           WeightRule rule, Index max_evaluations, std::uint64_t seed, ThreadTeam& team);

}  // namespace learndock
