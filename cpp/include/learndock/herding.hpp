// SPDX-License-Identifier: Apache-2.0
//
// Kernel herding (Chen, Welling & Smola, UAI 2010, equation 8): samples that follow an embedding,
//
//   x_{t+1} = argmax_x  mu(x) - 1/(t+1) sum_{s <= t} k(x_s, x)   over the candidates x
//
// The argmax is taken of v(x) = (t+1) mu(x) - sum, which orders the candidates alike; ties go to the lower index. From
// step to step v(x) grows by mu(x) - k(x_t, x), so a step costs one kernel row: 2 N dim flops, N exponentials, and the
// bytes of the candidates, which are what bounds it.
//
// Herding by bounds reads 2 or 4 bytes a coordinate where float64 reads 8, and chooses the same: for each candidate it
// keeps an upper bound of v in float32, which grows by mu minus a *lower* bound of the kernel. A candidate whose bound
// reaches the largest v that is known has its v computed in float64 (the steps that are missing since the last time
// alone, so that no kernel value is computed twice), and its bound becomes v itself. What is left unread can't be the
// argmax. The lower bound: with points moved to the candidates' mean and scaled by sqrt(gamma log2 e), k is
// 2^-||x - y||^2; points rounded by at most e/2 have their distance r' off by at most e, so that for any h > 0
//
//   k >= 2^-(r' + e)^2 >= 2^-((1 + h) r'^2 + (1 + 1/h) e^2)
//
// to which the rounding of the arithmetic adds as little again. In int16, r'^2 is an exact integer times a constant.
// Where many candidates lie within the bounds' width of each other, the points are read in float32, then in float64.
#pragma once

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// The numbers in which the candidates are read. The choices are the same.
enum class HerdingPrecision { automatic, int16, float32, float64 };

/// Does not own its arrays.
struct HerdingProblem {
  const double* candidates = nullptr;  ///< [count, dim] row-major
  const double* mean = nullptr;        ///< [count] mu at them
  Index count = 0;
  Index dim = 0;
  double gamma = 0;
  Index n = 0;              ///< samples to choose
  bool replace = true;      ///< whether an index may come twice; else n <= count
  Index* chosen = nullptr;  ///< [n] receives indices
};

/// A precision other than automatic is kept to, wherever its range allows.
void herd(const HerdingProblem& problem, HerdingPrecision precision, ThreadTeam& team);

/// Many problems. Small ones each run in one thread, side by side; those that would be last share all threads.
void herd_many(const HerdingProblem* problems, Index problem_count, ThreadTeam& team);

}  // namespace learndock
