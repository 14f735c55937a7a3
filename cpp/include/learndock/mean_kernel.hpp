// SPDX-License-Identifier: Apache-2.0
//
// The squared norm of the kernel mean of n rows, <mu_X, mu_X> = 1/n^2 sum_ij k(x_i, x_j): the constant of a squared MMD
// to them.
#pragma once

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// In float64, each pair once: n^2 / 2 kernel values.
double mean_kernel(const double* rows, Index n, Index dim, double gamma, ThreadTeam& team);

}  // namespace learndock
