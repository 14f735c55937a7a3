// SPDX-License-Identifier: Apache-2.0
#include "arrays.hpp"
#include "learndock/herding.hpp"

namespace learndock::bindings {

void bind_herding(py::module_& module) {
  module.def(
      "herd",
      [](const py::array& candidates_argument, const py::array& mean_argument, Index n, double gamma, bool replace,
         int threads) {
        const auto candidates = require<double>(candidates_argument, "candidates", 2);
        const auto mean = require<double>(mean_argument, "mean", 1);
        const Index count = candidates.shape(0), dim = candidates.shape(1);
        require_size(mean.shape(0), count, "mean");
        if (n < 1 || (!replace && n > count)) throw py::value_error("n: outside 1 .. number of candidates");
        Array<Index> chosen(n);
        const double* from = candidates.data();
        const double* from_mean = mean.data();
        Index* to = chosen.mutable_data();
        {
          // Plain memory from here on: other Python threads may run.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          herd(from, from_mean, count, dim, gamma, n, replace, team, to);
        }
        return chosen;
      },
      py::arg("candidates"), py::arg("mean"), py::arg("n"), py::arg("gamma"), py::arg("replace"), py::arg("threads"));
}

}  // namespace learndock::bindings
