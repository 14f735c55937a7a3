// SPDX-License-Identifier: Apache-2.0
#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "embedding_set.hpp"
#include "learndock/mixture.hpp"
#include "learndock/mixture_search.hpp"
#include "learndock/top_k.hpp"

namespace learndock::bindings {

namespace {

py::tuple search_mixtures(const EmbeddingSet& set, const py::array& at_argument, const py::array& cross_argument,
                          const py::array& self_argument, const py::array& user_argument, double gamma,
                          MixtureRule rule, Index size, int threads) {
  const auto at = require<Index>(at_argument, "at", 2);
  const auto cross = require<double>(cross_argument, "cross", 2);
  const auto self = require<double>(self_argument, "self_inner", 2);
  const auto user = require<double>(user_argument, "user_self", 1);
  MixtureCandidates candidates;
  candidates.users = at.shape(0);
  candidates.m = at.shape(1);
  const auto require_shape = [&](const auto& array, const char* name) {
    require_size(array.shape(0), candidates.users, name);
    require_size(array.shape(1), candidates.m, name);
  };
  require_shape(cross, "cross");
  require_shape(self, "self_inner");
  require_size(user.shape(0), candidates.users, "user_self");
  if (candidates.m < 1 || size < 1) throw py::value_error("at, size: expected at least one candidate");
  const std::vector<EmbeddingPlace> places = set.require_places(at.data(), candidates.users * candidates.m, "at");
  candidates.places = places.data();
  candidates.cross = cross.data();
  candidates.self_inner = self.data();
  candidates.user_self = user.data();
  Array<double> weights(std::vector<py::ssize_t>{candidates.users, candidates.m}), mmd2(candidates.users);
  double* to = weights.mutable_data();
  double* to_mmd2 = mmd2.mutable_data();
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    learndock::search_mixtures(set.batches(), candidates, gamma, rule, size, team, to, to_mmd2);
  }
  return py::make_tuple(weights, mmd2);
}

Array<double> extended(const py::array& gram_argument, const py::array& cross_argument, double self,
                       const py::array& products_argument, const py::array& candidate_cross_argument,
                       const py::array& candidate_self_argument, int threads) {
  const auto gram = require<double>(gram_argument, "gram", 2);
  const auto cross = require<double>(cross_argument, "cross", 1);
  const auto products = require<double>(products_argument, "products", 2);
  const auto candidate_cross = require<double>(candidate_cross_argument, "candidate_cross", 1);
  const auto candidate_self = require<double>(candidate_self_argument, "candidate_self", 1);
  Extension extension;
  extension.s = products.shape(0);
  extension.count = products.shape(1);
  require_size(gram.shape(0), extension.s, "gram");
  require_size(gram.shape(1), extension.s, "gram: last axis");
  require_size(cross.shape(0), extension.s, "cross");
  require_size(candidate_cross.shape(0), extension.count, "candidate_cross");
  require_size(candidate_self.shape(0), extension.count, "candidate_self");
  extension.gram = gram.data();
  extension.cross = cross.data();
  extension.self = self;
  extension.products = products.data();
  extension.candidate_cross = candidate_cross.data();
  extension.candidate_self = candidate_self.data();
  Array<double> values(extension.count);
  double* to = values.mutable_data();
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    extended_mmd2(extension, team, to);
  }
  return values;
}

}  // namespace

void bind_mixture(py::module_& module) {
  py::native_enum<MixtureRule>(module, "MixtureRule", "enum.Enum")
      .value("distance", MixtureRule::distance)
      .value("greedy", MixtureRule::greedy)
      .value("auto", MixtureRule::automatic)
      .finalize();

  module.def(
      "mixture",
      [](const py::array& gram_argument, const py::array& cross_argument, const py::array& self_argument,
         MixtureRule rule, Index size, int threads) {
        const auto gram = require<double>(gram_argument, "gram", 3);
        const auto cross = require<double>(cross_argument, "cross", 2);
        const auto self = require<double>(self_argument, "self_inner", 1);
        const Index users = gram.shape(0), m = gram.shape(1);
        require_size(gram.shape(2), m, "gram: last axis");
        require_size(cross.shape(0), users, "cross");
        require_size(cross.shape(1), m, "cross: last axis");
        require_size(self.shape(0), users, "self_inner");
        Array<double> weights(std::vector<py::ssize_t>{users, m}), mmd2(users);
        const double* from_gram = gram.data();
        const double* from_cross = cross.data();
        const double* from_self = self.data();
        double* to = weights.mutable_data();
        double* to_mmd2 = mmd2.mutable_data();
        {
          // Plain memory from here on: other Python threads may run.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          std::vector<MixtureSolver> solvers(team.size());
          // Users: about 0.2 ms of work where 25 candidates each are tried one by one.
          const Index together = std::clamp<Index>(8 * 625 / (m * m), 1, 8);
          team.for_each((users + together - 1) / together, [&](Index chunk, int worker) {
            for (Index u = chunk * together; u < std::min(users, (chunk + 1) * together); ++u)
              to_mmd2[u] = solvers[worker].solve(from_gram + u * m * m, from_cross + u * m, from_self[u], m, rule, size,
                                                 to + u * m);
          });
        }
        return py::make_tuple(weights, mmd2);
      },
      py::arg("gram"), py::arg("cross"), py::arg("self_inner"), py::arg("rule"), py::arg("size"), py::arg("threads"));

  module.def("search_mixtures", &search_mixtures, py::arg("embeddings"), py::arg("at"), py::arg("cross"),
             py::arg("self_inner"), py::arg("user_self"), py::arg("gamma"), py::arg("rule"), py::arg("size"),
             py::arg("threads"));

  module.def("extended_mmd2", &extended, py::arg("gram"), py::arg("cross"), py::arg("self_inner"), py::arg("products"),
             py::arg("candidate_cross"), py::arg("candidate_self"), py::arg("threads"));

  module.def(
      "top_k",
      [](const py::array& values_argument, Index k) {
        const auto values = require<double>(values_argument, "values", 1);
        const std::vector<Index> chosen = top_k(values.data(), values.shape(0), k);
        return Array<Index>(static_cast<py::ssize_t>(chosen.size()), chosen.data());
      },
      py::arg("values"), py::arg("k"));
}

}  // namespace learndock::bindings
