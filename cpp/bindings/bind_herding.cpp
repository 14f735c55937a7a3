// SPDX-License-Identifier: Apache-2.0
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <vector>

#include "arrays.hpp"
#include "learndock/herding.hpp"

namespace learndock::bindings {

namespace {

/// A problem with the arrays that it points into.
struct HerdingArrays {
  HerdingArrays(const py::array& candidates_argument, const py::array& mean_argument, Index n, double gamma,
                bool replace)
      : candidates(require<double>(candidates_argument, "candidates", 2)),
        mean(require<double>(mean_argument, "mean", 1)) {
    const Index count = candidates.shape(0), dim = candidates.shape(1);
    require_size(mean.shape(0), count, "mean");
    if (n < 1 || (!replace && n > count)) throw py::value_error("n: outside 1 .. number of candidates");
    chosen = Array<Index>(n);
    problem = {candidates.data(), mean.data(), count, dim, gamma, n, replace, chosen.mutable_data()};
  }

  Array<double> candidates, mean;
  Array<Index> chosen;
  HerdingProblem problem;
};

}  // namespace

void bind_herding(py::module_& module) {
  py::native_enum<HerdingPrecision>(module, "HerdingPrecision", "enum.Enum")
      .value("automatic", HerdingPrecision::automatic)
      .value("int16", HerdingPrecision::int16)
      .value("float32", HerdingPrecision::float32)
      .value("float64", HerdingPrecision::float64)
      .finalize();

  module.def(
      "herd",
      [](const py::array& candidates, const py::array& mean, Index n, double gamma, bool replace,
         HerdingPrecision precision, int threads) {
        const HerdingArrays arrays(candidates, mean, n, gamma, replace);
        {
          // Plain memory from here on: other Python threads may run.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          herd(arrays.problem, precision, team);
        }
        return arrays.chosen;
      },
      py::arg("candidates"), py::arg("mean"), py::arg("n"), py::arg("gamma"), py::arg("replace"), py::arg("precision"),
      py::arg("threads"));

  module.def(
      "herd_many",
      [](const std::vector<py::array>& candidates, const std::vector<py::array>& means, const std::vector<Index>& n,
         double gamma, bool replace, int threads) {
        const std::size_t count = candidates.size();
        require_size(static_cast<Index>(means.size()), static_cast<Index>(count), "means");
        require_size(static_cast<Index>(n.size()), static_cast<Index>(count), "n");
        std::vector<HerdingArrays> arrays;
        std::vector<HerdingProblem> problems;
        std::vector<Array<Index>> chosen;
        for (std::size_t i = 0; i < count; ++i) {
          arrays.emplace_back(candidates[i], means[i], n[i], gamma, replace);
          problems.push_back(arrays.back().problem);
          chosen.push_back(arrays.back().chosen);
        }
        {
          // As above: plain memory only.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          herd_many(problems.data(), static_cast<Index>(count), team);
        }
        return chosen;
      },
      py::arg("candidates"), py::arg("means"), py::arg("n"), py::arg("gamma"), py::arg("replace"), py::arg("threads"));
}

}  // namespace learndock::bindings
