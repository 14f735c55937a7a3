// SPDX-License-Identifier: Apache-2.0
//
// Mixtures of segments and products of any bits, by each rule: an end, and weights that are numbers where all else is.
#include <algorithm>

#include "input.hpp"
#include "learndock/mixture_search.hpp"
#include "learndock/top_k.hpp"

using namespace learndock;
using namespace learndock::fuzz;

namespace {

/// The Gram matrix of some rows.
std::vector<double> gram_of(const std::vector<double>& rows, Index m) {
  std::vector<double> gram(rows.size());
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < m; ++j)
      for (Index k = 0; k < m; ++k)
        gram[static_cast<std::size_t>(i * m + j)] +=
            rows[static_cast<std::size_t>(i * m + k)] * rows[static_cast<std::size_t>(j * m + k)];
  return gram;
}

bool ordinary(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::abs(value) <= 1e100; });
}

void require_weights(const std::vector<double>& weights) {
  for (const double weight : weights) require(weight >= 0 && weight <= 1 + 1e-6);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const auto rule = static_cast<MixtureRule>(input.size(0, 2));
  const Index m = input.size(1, 10), most = input.size(1, 12);
  const auto as_size = [](Index count) { return static_cast<std::size_t>(count); };
  ThreadTeam team(one_thread());

  const bool of_rows = input.flag();
  const std::vector<double> rows = input.any_of<double>(m * m), gram = of_rows ? gram_of(rows, m) : rows,
                            cross = input.any_of<double>(m);
  const double self = input.any<double>();
  std::vector<double> weights(as_size(m));
  MixtureSolver solver;
  solver.solve(gram.data(), cross.data(), self, m, rule, most, weights.data());
  // Of what is no Gram matrix nothing is said.
  if (of_rows && ordinary(gram) && ordinary(cross) && ordinary({self})) require_weights(weights);
  solver.is_sure(1e-6);

  const Index dim = input.size(1, 5);
  const double gamma = input.gamma();
  const Batch first(input, 6, dim), second(input, 6, dim);
  const std::vector<PackedEmbeddings<float>> batches{first.view(), second.view()};
  const Index users = input.size(1, 3);
  std::vector<EmbeddingPlace> places(as_size(users * m));
  for (EmbeddingPlace& place : places) {
    place.batch = input.size(0, 1);
    place.index = input.size(0, batches[as_size(place.batch)].count - 1);
  }
  const std::vector<double> of_users = input.any_of<double>(users * m), norms = input.any_of<double>(users * m),
                            user_self = input.any_of<double>(users);
  std::vector<double> mixed(as_size(users * m)), mmd2(as_size(users));
  search_mixtures(batches, {places.data(), of_users.data(), norms.data(), user_self.data(), users, m}, gamma, rule,
                  most, team, mixed.data(), mmd2.data());

  const Index chosen = input.size(0, 4), count = input.size(1, 9);
  const std::vector<double> small = input.any_of<double>(chosen * chosen), to_user = input.any_of<double>(chosen),
                            products = input.any_of<double>(chosen * count),
                            candidate_cross = input.any_of<double>(count), candidate_self = input.any_of<double>(count);
  std::vector<double> values(as_size(count));
  extended_mmd2({small.data(), to_user.data(), self, products.data(), candidate_cross.data(), candidate_self.data(),
                 chosen, count},
                team, values.data());
  const std::vector<Index> best = top_k(values.data(), count, most);
  require(static_cast<Index>(best.size()) == std::min(most, count));
  for (const Index place : best) require(place >= 0 && place < count);
  return 0;
}
