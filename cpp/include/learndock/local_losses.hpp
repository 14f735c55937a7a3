// SPDX-License-Identifier: Apache-2.0
//
// What models are known to lose near a row: kernel regression (Nadaraya and Watson) of the losses that were seen at the
// points of sketches,
//   sum_jp s_jp k(x, z_jp)^4 e_i(j, p)   and   sum_jp s_jp k(x, z_jp)^4 over the sketches j on which model i was tried,
// where k^4 is the kernel at four times gamma; and of the same kernel values the embeddings mu_j(x) themselves.
#pragma once

#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// One sketch, and what was seen at its points. Does not own its arrays.
struct SketchLosses {
  Embedding of;
  const double* shares = nullptr;  ///< [count] s, none negative
  const double* losses = nullptr;  ///< [count, models], NaN in the whole column of a model that was not tried
};

/// Outputs of `local_losses`, row-major. In float32 arithmetic around the rows' centroid: weights are made of them.
struct LocalLosses {
  double* losses = nullptr;      ///< [rows, models] weighted sums
  double* masses = nullptr;      ///< [rows, models] their weights
  double* embeddings = nullptr;  ///< [rows, sketches]
};

void local_losses(const double* rows, Index count, Index dim, const std::vector<SketchLosses>& sketches, Index models,
                  double gamma, ThreadTeam& team, const LocalLosses& to);

}  // namespace learndock
