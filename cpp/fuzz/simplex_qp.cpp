// SPDX-License-Identifier: Apache-2.0
//
// Quadratic programmes of any numbers: an end, and where the binding lets them through, weights on the simplex.
#include "learndock/simplex_qp.hpp"
#include "input.hpp"

using namespace learndock;
using namespace learndock::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Index n = input.size(1, 12);
  std::vector<double> K = input.any_of<double>(n * n);
  const auto at = [&](Index i, Index j) -> double& { return K[static_cast<std::size_t>(i * n + j)]; };
  // Half of them symmetric, half of those Gram matrices.
  if (input.flag()) {
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < i; ++j) at(i, j) = at(j, i);
    if (input.flag()) {
      const std::vector<double> rows = K;
      for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < n; ++j) {
          double sum = 0;
          for (Index l = 0; l < n; ++l)
            sum += rows[static_cast<std::size_t>(i * n + l)] * rows[static_cast<std::size_t>(j * n + l)];
          at(i, j) = sum;
        }
    }
  }
  const std::vector<double> c = input.any_of<double>(n);
  if (!is_valid_qp(K.data(), c.data(), n)) return 0;
  QpSolver solver;
  std::vector<double> weights(static_cast<std::size_t>(n));
  const QpResult on_simplex = solver.simplex(K.data(), c.data(), n, weights.data());
  double sum = 0;
  for (const double weight : weights) {
    require(weight >= 0 && weight <= 1 + 1e-9);
    sum += weight;
  }
  require(std::abs(sum - 1) <= 1e-9);
  require(on_simplex.residual >= 0);
  // Of a K that is not semidefinite nothing more is said.
  require(!std::isnan(on_simplex.objective) || std::isinf(on_simplex.residual));
  // From a start that is no solution.
  for (double& weight : weights) weight = 1.0 / static_cast<double>(n);
  solver.simplex(K.data(), c.data(), n, weights.data(), true);
  const QpResult free_sum = solver.nonnegative(K.data(), c.data(), n, weights.data());
  for (const double weight : weights) require(weight >= 0);
  require(free_sum.residual >= 0);
  return 0;
}
