// SPDX-License-Identifier: Apache-2.0
//
// Herding of any numbers that the Python layer lets through, in every precision: candidates that there are, each once
// where none may come twice, and the same in all precisions.
#include <algorithm>

#include "input.hpp"
#include "learndock/herding.hpp"

using namespace learndock;
using namespace learndock::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Index count = input.size(1, 40), dim = input.size(1, 5);
  const bool replace = input.flag();
  const Index n = input.size(1, replace ? 20 : std::min<Index>(20, count));
  const double gamma = input.gamma();
  const std::vector<double> candidates = input.checked_of(count * dim), mean = input.checked_of(count);
  ThreadTeam team(one_thread());
  std::vector<Index> exact(static_cast<std::size_t>(n), -1);
  for (const HerdingPrecision precision :
       {HerdingPrecision::float64, HerdingPrecision::float32, HerdingPrecision::int16, HerdingPrecision::automatic}) {
    std::vector<Index> chosen(static_cast<std::size_t>(n), -1);
    herd({candidates.data(), mean.data(), count, dim, gamma, n, replace, chosen.data()}, precision, team);
    for (const Index index : chosen) require(index >= 0 && index < count);
    if (precision == HerdingPrecision::float64) exact = chosen;
    require(chosen == exact);
    if (!replace) {
      std::sort(chosen.begin(), chosen.end());
      require(std::adjacent_find(chosen.begin(), chosen.end()) == chosen.end());
    }
  }
  std::vector<Index> chosen(static_cast<std::size_t>(n), -1);
  const HerdingProblem problem{candidates.data(), mean.data(), count, dim, gamma, n, replace, chosen.data()};
  herd_many(&problem, 1, team);
  require(chosen == exact);
  return 0;
}
