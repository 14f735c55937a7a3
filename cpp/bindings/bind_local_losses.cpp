// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "learndock/local_losses.hpp"
#include "packed_arrays.hpp"

namespace learndock::bindings {

namespace {

/// A sketch and the arrays that keep its memory alive.
struct SketchArrays {
  EmbeddingArrays of;
  Array<double> shares, losses;

  SketchArrays(const py::tuple& entry, Index dim)
      : of(entry[0].cast<py::array>(), entry[1].cast<py::array>()),
        shares(require<double>(entry[2].cast<py::array>(), "shares", 1)),
        losses(require<double>(entry[3].cast<py::array>(), "losses", 2)) {
    require_size(of.points.shape(1), dim, "points: dim");
    require_size(shares.shape(0), of.points.shape(0), "shares");
    require_size(losses.shape(0), of.points.shape(0), "losses");
  }
};

py::tuple find_local_losses(const py::array& rows_argument, const std::vector<py::tuple>& entries, double gamma,
                            int threads) {
  const auto rows = require<double>(rows_argument, "rows", 2);
  const Index count = rows.shape(0), dim = rows.shape(1);
  std::vector<SketchArrays> arrays;
  std::vector<SketchLosses> sketches;
  for (const py::tuple& entry : entries) {
    require_size(static_cast<Index>(entry.size()), 4, "sketches: entries of each");
    arrays.emplace_back(entry, dim);
    const SketchArrays& held = arrays.back();
    require_size(held.losses.shape(1), arrays.front().losses.shape(1), "losses: last axis");
    sketches.push_back({held.of.view(), held.shares.data(), held.losses.data()});
  }
  const Index models = arrays.empty() ? 0 : arrays.front().losses.shape(1);
  const auto sketch_count = static_cast<py::ssize_t>(sketches.size());
  Array<double> losses(std::vector<py::ssize_t>{count, models}), masses(std::vector<py::ssize_t>{count, models});
  Array<double> embeddings(std::vector<py::ssize_t>{count, sketch_count});
  const LocalLosses to{losses.mutable_data(), masses.mutable_data(), embeddings.mutable_data()};
  const double* from = rows.data();
  double pairs = 0;
  for (const SketchLosses& sketch : sketches) pairs += static_cast<double>(sketch.of.count * count);
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads).for_work(float_pairs_time(pairs, dim + models)));
    local_losses(from, count, dim, sketches, models, gamma, team, to);
  }
  return py::make_tuple(losses, masses, embeddings);
}

}  // namespace

void bind_local_losses(py::module_& module) {
  module.def("local_losses", &find_local_losses, py::arg("rows"), py::arg("sketches"), py::arg("gamma"),
             py::arg("threads"));
}

}  // namespace learndock::bindings
