// SPDX-License-Identifier: Apache-2.0
//
// Losses near rows, of sketches with any losses: an end, and embeddings that are numbers.
#include "learndock/local_losses.hpp"
#include "input.hpp"

using namespace learndock;
using namespace learndock::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Index rows = input.size(1, 20), dim = input.size(1, 5), models = input.size(0, 6);
  const double gamma = input.gamma();
  const std::vector<double> points = input.checked_of(rows * dim);
  std::vector<User> users;
  std::vector<std::vector<double>> shares, losses;
  const Index sketch_count = input.size(0, 3);
  for (Index i = 0; i < sketch_count; ++i) {
    users.emplace_back(input, dim);
    const Index count = users.back().view().count;
    shares.push_back(input.checked_of(count));
    for (double& share : shares.back()) share = std::abs(share);
    losses.push_back(input.any_of<double>(count * models));
  }
  std::vector<SketchLosses> sketches;
  for (std::size_t i = 0; i < users.size(); ++i)
    sketches.push_back({users[i].view(), shares[i].data(), losses[i].data()});
  const auto as_size = [](Index count) { return static_cast<std::size_t>(count); };
  std::vector<double> sums(as_size(rows * models)), masses(as_size(rows * models)),
      embeddings(as_size(rows * sketch_count));
  ThreadTeam team(one_thread());
  local_losses(points.data(), rows, dim, sketches, models, gamma, team,
               {sums.data(), masses.data(), embeddings.data()});
  return 0;
}
