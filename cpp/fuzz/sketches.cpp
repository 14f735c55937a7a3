// SPDX-License-Identifier: Apache-2.0
//
// Sketches of any bits, of a model of any finite numbers, and of embeddings of any bits: places that exist, each once,
// and bounds that are numbers.
#include <algorithm>

#include "input.hpp"
#include "learndock/sketch.hpp"
#include "learndock/sketch_search.hpp"

using namespace learndock;
using namespace learndock::fuzz;

namespace {

struct Stored {
  std::vector<std::int8_t> codes, ball_codes;
  std::vector<float> residuals, errors, balls;
  std::vector<std::int32_t> order, lanes;
  Index count;

  Stored(Input& input, const SketchMap& map) : count(input.flag() ? input.size(1, 20) : 16 * input.size(1, 40)) {
    const Index padded = tile_count(count) * tile_lanes, stages = static_cast<Index>(map.stages().size());
    codes = input.codes(padded * map.coordinates());
    residuals = input.any_of<float>(stages * padded);
    errors = input.any_of<float>(padded);
    const Index ball_lanes = tile_count(tile_count(count)) * tile_lanes;
    ball_codes = input.codes(ball_lanes * map.stages()[0]);
    balls = input.any_of<float>(2 * ball_lanes);
    // A binding lets permutations through alone.
    for (Index i = 0; i < count; ++i) order.insert(order.begin() + input.size(0, i), static_cast<std::int32_t>(i));
    lanes = lanes_of_order(order.data(), count);
  }

  Sketches view() const {
    return {codes.data(), residuals.data(),  errors.data(), order.data(),
            lanes.data(), ball_codes.data(), balls.data(),  count};
  }
};

float positive(Input& input) {
  const float value = std::abs(input.any<float>());
  return value > 0 && std::isfinite(value) ? value : 0.01F;
}

double finite(Input& input) {
  const double value = input.any<double>();
  return std::isfinite(value) ? value : 0.5;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Index dim = input.size(1, 3), landmark_count = input.size(1, 9);
  std::vector<Index> stages{input.size(1, 5)};
  while (stages.size() < 3 && input.flag()) stages.push_back(stages.back() + input.size(1, 20));
  const Index coordinates = stages.back();
  const double gamma = input.gamma();
  std::vector<double> landmarks, map, offsets;
  std::vector<float> scales;
  // Landmarks are float32 in a file.
  for (Index i = 0; i < landmark_count * dim; ++i) {
    const float value = input.any<float>();
    landmarks.push_back(std::isfinite(value) ? value : 1.0F);
  }
  for (Index i = 0; i < coordinates * landmark_count; ++i) map.push_back(finite(input));
  for (Index i = 0; i < coordinates; ++i) {
    offsets.push_back(finite(input));
    scales.push_back(positive(input));
  }
  const SketchMap model(landmarks.data(), landmark_count, dim, gamma, map.data(), offsets.data(), scales.data(),
                        stages);
  ThreadTeam team(one_thread());

  const User user(input, dim);
  const SketchQuery query = model.query(user.view(), finite(input), team);
  std::vector<Stored> stored;
  const Index batch_count = input.size(1, 2);
  for (Index i = 0; i < batch_count; ++i) stored.emplace_back(input, model);
  std::vector<Sketches> batches;
  Index total = 0;
  for (const Stored& each : stored) {
    batches.push_back(each.view());
    total += each.count;
  }
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(total));
  for (std::uint8_t& each : mask) each = input.flag() ? 1 : 0;
  const std::vector<const SketchQuery*> queries{&query};
  const std::vector<const std::uint8_t*> hidden{input.flag() ? mask.data() : nullptr};
  const SketchSearch search{model, batches, queries, hidden};
  const float correlation = static_cast<float>(input.size(0, 16)) / 16;
  const auto allowed = [&](Index place) { return hidden[0] == nullptr || mask[static_cast<std::size_t>(place)] == 0; };

  const Index count = input.size(0, total);
  std::vector<Index> places(static_cast<std::size_t>(count));
  std::vector<std::int16_t> kept(static_cast<std::size_t>(ball_lanes_of(batches)));
  promising_sketches(search, correlation, count, team, kept.data(), places.data());
  std::vector<Index> found;
  for (const Index place : places)
    if (place != -1) found.push_back(place);
  for (const Index place : found) require(place >= 0 && place < total && allowed(place));
  std::sort(found.begin(), found.end());
  require(std::adjacent_find(found.begin(), found.end()) == found.end());

  const float reach = input.any<float>();
  const std::vector<Index> within = sketches_within(search, kept.data(), &reach, team)[0].places;
  for (const Index place : within) require(place >= 0 && place < total && allowed(place));

  std::vector<Index> all(static_cast<std::size_t>(total));
  for (Index i = 0; i < total; ++i) all[static_cast<std::size_t>(i)] = i;
  std::vector<float> bounds(all.size()), guesses(all.size());
  for (Index stage = 0; stage < static_cast<Index>(stages.size()); ++stage) {
    refined_bounds(model, batches, query, correlation, stage, all.data(), total, team, bounds.data(), guesses.data());
    for (const float bound : bounds) require(bound >= 0);
  }

  const Batch batch(input, 6, dim);
  const auto view = batch.view();
  const std::vector<double> self_inner = input.any_of<double>(view.count);
  const auto padded = static_cast<std::size_t>(tile_count(view.count) * tile_lanes);
  std::vector<std::int8_t> codes(padded * static_cast<std::size_t>(coordinates));
  std::vector<float> residuals(padded * stages.size()), errors(padded);
  const auto ball_lanes = static_cast<std::size_t>(tile_count(tile_count(view.count)) * tile_lanes);
  std::vector<std::int32_t> order(static_cast<std::size_t>(view.count));
  std::vector<std::int8_t> ball_codes(ball_lanes * static_cast<std::size_t>(stages[0]));
  std::vector<float> balls(2 * ball_lanes);
  model.encode(view, self_inner.data(), team,
               {codes.data(), residuals.data(), errors.data(), order.data(), ball_codes.data(), balls.data()});
  lanes_of_order(order.data(), view.count);
  std::vector<double> values(static_cast<std::size_t>(view.count * landmark_count));
  values_at_points(view, landmarks.data(), landmark_count, gamma, team, values.data());
  return 0;
}
