// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <vector>

#include "arrays.hpp"
#include "learndock/simplex_qp.hpp"

namespace learndock::bindings {

void bind_simplex_qp(py::module_& module) {
  module.def(
      "simplex_qp",
      [](const py::array& K_argument, const py::array& c_argument, int threads) {
        const auto K = require<double>(K_argument, "K", 3);
        const auto c = require<double>(c_argument, "c", 2);
        const Index batch = K.shape(0), n = K.shape(1);
        require_size(K.shape(2), n, "K: last axis");
        require_size(c.shape(0), batch, "c");
        require_size(c.shape(1), n, "c: last axis");
        Array<double> weights(std::vector<py::ssize_t>{batch, n}), objectives(batch), residuals(batch);
        const double* from_K = K.data();
        const double* from_c = c.data();
        double* to = weights.mutable_data();
        double* to_objectives = objectives.mutable_data();
        double* to_residuals = residuals.mutable_data();
        {
          // Plain memory from here on: other Python threads may run.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          std::vector<QpSolver> solvers(team.size());
          // About 0.2 ms of work, so that neither starting a chunk nor waiting for the last one counts.
          const Index together = std::clamp<Index>(16384 / (n * n), 1, 512);
          team.for_each((batch + together - 1) / together, [&](Index chunk, int worker) {
            for (Index b = chunk * together; b < std::min(batch, (chunk + 1) * together); ++b) {
              if (!is_valid_qp(from_K + b * n * n, from_c + b * n, n)) {
                to_residuals[b] = std::numeric_limits<double>::quiet_NaN();
                continue;
              }
              const QpResult solved = solvers[worker].simplex(from_K + b * n * n, from_c + b * n, n, to + b * n);
              to_objectives[b] = solved.objective;
              to_residuals[b] = solved.residual;
            }
          });
        }
        return py::make_tuple(weights, objectives, residuals);
      },
      py::arg("K"), py::arg("c"), py::arg("threads"));
}

}  // namespace learndock::bindings
