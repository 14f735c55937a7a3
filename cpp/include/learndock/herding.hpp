// SPDX-License-Identifier: Apache-2.0
//
// Kernel herding (Chen, Welling & Smola, UAI 2010, equation 8): samples that follow an embedding,
//
//   x_{t+1} = argmax_x  mu(x) - 1/(t+1) sum_{s <= t} k(x_s, x)   over the candidates x
//
// The sum is kept for every candidate, so a step costs one kernel row: 2 N dim flops and N exponentials, never t N.
// The argmax is taken of (t+1) mu(x) - sum, which orders the candidates alike; ties go to the lower index.
#pragma once

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// candidates [count, dim] row-major, mean [count] = mu at them; chosen [n] receives indices. Without replacement no
/// index comes twice (then n <= count).
void herd(const double* candidates, const double* mean, Index count, Index dim, double gamma, Index n, bool replace,
          ThreadTeam& team, Index* chosen);

}  // namespace learndock
