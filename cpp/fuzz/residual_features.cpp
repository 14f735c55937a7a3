// SPDX-License-Identifier: Apache-2.0
//
// Features of any bits, and of a model of any finite numbers: bounds that are numbers.
#include <memory>

#include "input.hpp"
#include "learndock/residual_features.hpp"
#include "learndock/sketch_search.hpp"

using namespace learndock;
using namespace learndock::fuzz;

namespace {

std::vector<double> finite_of(Input& input, Index count) {
  std::vector<double> values = input.any_of<double>(count);
  for (double& value : values)
    if (!std::isfinite(value)) value = 0.25;
  return values;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Index dim = input.size(1, 3), landmark_count = input.size(1, 5), coordinates = input.size(1, 6);
  const double gamma = input.gamma();
  const std::vector<double> landmarks = finite_of(input, landmark_count * dim),
                            map = finite_of(input, coordinates * landmark_count),
                            offsets = finite_of(input, coordinates);
  std::vector<float> scales;
  for (Index i = 0; i < coordinates; ++i) {
    const float scale = std::abs(input.any<float>());
    scales.push_back(scale > 0 && std::isfinite(scale) ? scale : 0.01F);
  }
  const auto sketches = std::make_shared<const SketchMap>(landmarks.data(), landmark_count, dim, gamma, map.data(),
                                                          offsets.data(), scales.data(), std::vector{coordinates});
  constexpr Index frequency_count = tile_lanes;
  const std::vector<double> frequencies = finite_of(input, frequency_count * dim),
                            gram = finite_of(input, coordinates * coordinates);
  const ResidualFeatures features(sketches, frequencies.data(), frequency_count, gram.data());
  ThreadTeam team(one_thread());

  const User user(input, dim);
  const double self_inner = finite_of(input, 1)[0];
  const SketchQuery sketch = sketches->query(user.view(), self_inner, team);
  const FeatureQuery query = features.query(user.view(), sketch, self_inner);

  const Index count = input.size(1, 20);
  const Index padded = tile_count(count) * tile_lanes;
  const std::vector<std::int8_t> codes = input.codes(padded * coordinates),
                                 feature_codes = input.codes(padded * 2 * frequency_count);
  const std::vector<float> errors = input.any_of<float>(padded), measures = input.any_of<float>(3 * padded);
  std::vector<std::int32_t> order;
  for (Index i = 0; i < count; ++i) order.insert(order.begin() + input.size(0, i), static_cast<std::int32_t>(i));
  const std::vector<std::int32_t> of_embeddings = lanes_of_order(order.data(), count);
  const std::vector<Sketches> batches{
      {codes.data(), nullptr, errors.data(), order.data(), of_embeddings.data(), nullptr, nullptr, count}};
  const std::vector<StoredFeatures> stored{{feature_codes.data(), measures.data()}};
  const FeatureSearch search{features, batches, stored, sketch, query};
  std::vector<Index> chosen(static_cast<std::size_t>(count));
  for (Index& place : chosen) place = input.size(0, count - 1);
  std::vector<float> bounds(chosen.size());
  chance_bounds(search, 5.0, chosen.data(), count, team, bounds.data());
  for (const float bound : bounds) require(bound >= 0);
  const std::vector<double> mmd2 = input.any_of<double>(count);
  std::vector<double> deviations(chosen.size());
  deviations_of(search, chosen.data(), mmd2.data(), count, team, deviations.data());

  const Batch batch(input, 3, dim);
  const auto view = batch.view();
  const std::vector<double> norms = input.any_of<double>(view.count);
  const auto lanes = static_cast<std::size_t>(tile_count(view.count) * tile_lanes);
  std::vector<std::int8_t> to_codes(lanes * static_cast<std::size_t>(coordinates)),
      to_features(lanes * 2 * static_cast<std::size_t>(frequency_count));
  std::vector<float> to_residuals(lanes), to_errors(lanes), to_measures(3 * lanes);
  const auto ball_lanes = static_cast<std::size_t>(tile_count(tile_count(view.count)) * tile_lanes);
  std::vector<std::int32_t> to_order(static_cast<std::size_t>(view.count));
  std::vector<std::int8_t> to_ball_codes(ball_lanes * static_cast<std::size_t>(coordinates));
  std::vector<float> to_balls(2 * ball_lanes);
  features.encode(
      view, norms.data(), team,
      {to_codes.data(), to_residuals.data(), to_errors.data(), to_order.data(), to_ball_codes.data(), to_balls.data()},
      to_features.data(), to_measures.data());
  return 0;
}
