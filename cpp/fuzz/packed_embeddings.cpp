// SPDX-License-Identifier: Apache-2.0
//
// Inner products with a segment of any bits: no read beyond it, and float32 and 16-bit integers as near to float64 as
// they say, wherever all is finite.
#include "input.hpp"
#include "learndock/coarse_sums.hpp"
#include "learndock/kernel_sums.hpp"

using namespace learndock;
using namespace learndock::fuzz;

namespace {

void require_bounds(const std::vector<double>& products, const std::vector<double>& errors,
                    const std::vector<double>& exact) {
  for (std::size_t i = 0; i < exact.size(); ++i)
    // A bound that is no number, or infinite, says nothing.
    if (std::isfinite(exact[i]) && std::isfinite(products[i]) && std::isfinite(errors[i]))
      require(std::abs(products[i] - exact[i]) <= errors[i] * 1.001 + 1e-300);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Index dim = input.size(1, 40);
  const double gamma = input.gamma();
  const Batch batch(input, 6, dim);
  const User user(input, dim);
  const auto view = batch.view();
  ThreadTeam team(one_thread());
  const auto count = static_cast<std::size_t>(view.count);

  std::vector<double> exact(count), products(count), errors(count), self(count);
  inner_products({user.view()}, view, gamma, team, exact.data());
  self_inner_products(view, gamma, team, self.data());
  const PreparedQuery prepared(user.view(), gamma);
  inner_products({&prepared}, view, team, products.data(), errors.data());
  require_bounds(products, errors, exact);

  const std::vector<Index> asking(count, 0);
  std::vector<EmbeddingPlace> chosen(count);
  for (EmbeddingPlace& place : chosen) place.index = input.size(0, view.count - 1);
  const std::vector<PackedEmbeddings<float>> batches{view};
  std::vector<double> chosen_exact(count), of_chosen(count), errors_of_chosen(count);
  chosen_inner_products({user.view()}, batches, asking.data(), chosen, gamma, team, chosen_exact.data());
  chosen_inner_products(prepared, batches, chosen, team, of_chosen.data(), errors_of_chosen.data());
  for (std::size_t i = 0; i < count; ++i) {
    const double same = exact[static_cast<std::size_t>(chosen[i].index)];
    require(chosen_exact[i] == same || std::isnan(same));
  }
  require_bounds(of_chosen, errors_of_chosen, chosen_exact);

  const CoarseQuery coarse(user.view(), gamma);
  if (coarse.possible()) {
    inner_products({&coarse}, view, team, products.data(), errors.data());
    require_bounds(products, errors, exact);
    chosen_inner_products(coarse, batches, chosen, team, of_chosen.data(), errors_of_chosen.data());
    require_bounds(of_chosen, errors_of_chosen, chosen_exact);
  }

  std::vector<double> points(static_cast<std::size_t>(view.point_count() * dim));
  unpack_points(batch.tiles.data(), dim, 0, view.point_count(), points.data());
  std::vector<double> values(static_cast<std::size_t>(view.point_count()));
  embed_points(user.view(), points.data(), view.point_count(), gamma, team, values.data());
  return 0;
}
