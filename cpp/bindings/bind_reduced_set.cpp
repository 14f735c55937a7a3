// SPDX-License-Identifier: Apache-2.0
#include <pybind11/native_enum.h>

#include "arrays.hpp"
#include "learndock/mean_kernel.hpp"
#include "learndock/reduced_set.hpp"

namespace learndock::bindings {

void bind_reduced_set(py::module_& module) {
  py::native_enum<WeightRule>(module, "WeightRule", "enum.Enum")
      .value("nonnegative", WeightRule::nonnegative)
      .value("simplex", WeightRule::simplex)
      .value("free", WeightRule::free)
      .finalize();

  module.def(
      "fit_reduced_set",
      [](const py::array& rows_argument, const py::array& start_argument, double gamma, WeightRule rule,
         Index max_evaluations, std::uint64_t seed, int threads) {
        const auto rows = require<double>(rows_argument, "rows", 2);
        const auto start = require<double>(start_argument, "start", 2);
        const Index n = rows.shape(0), dim = rows.shape(1), K = start.shape(0);
        require_size(start.shape(1), dim, "start: dim");
        if (n < 1 || K < 1 || dim < 1) throw py::value_error("rows, start: expected at least one row and column");
        const double* from = rows.data();
        const double* from_start = start.data();
        ReducedSet fitted;
        {
          // Plain memory from here on: other Python threads may run.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          fitted = fit_reduced_set(from, n, dim, from_start, K, gamma, rule, max_evaluations, seed, team);
        }
        Array<double> points(std::vector<py::ssize_t>{K, dim}, fitted.points.data());
        Array<double> weights(K, fitted.weights.data());
        return py::make_tuple(points, weights, fitted.mmd2, fitted.standard_error, fitted.evaluations);
      },
      py::arg("rows"), py::arg("start"), py::arg("gamma"), py::arg("rule"), py::arg("max_evaluations"), py::arg("seed"),
      py::arg("threads"));
  module.def(
      "mean_kernel",
      [](const py::array& rows_argument, double gamma, int threads) {
        const auto rows = require<double>(rows_argument, "rows", 2);
        const double* from = rows.data();
        const Index n = rows.shape(0), dim = rows.shape(1);
        const py::gil_scoped_release released;  // plain memory from here on
        ThreadTeam team(execution(threads));
        return mean_kernel(from, n, dim, gamma, team);
      },
      py::arg("rows"), py::arg("gamma"), py::arg("threads"));
}

}  // namespace learndock::bindings
