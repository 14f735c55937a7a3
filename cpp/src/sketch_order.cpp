// SPDX-License-Identifier: Apache-2.0
#include "sketch_order.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learndock/near_order.hpp"

namespace learndock {

namespace {

/// The ball of the embeddings `members` .. end, in lane `ball` of all.
void enclose(const SketchMap& map, const SketchRowsInOrder& rows, const std::int32_t* members, const std::int32_t* end,
             Index ball, Index ball_lanes, const SketchArrays& to) {
  const Index stride = map.coordinates(), width = map.stages()[0];
  const auto count = static_cast<double>(end - members);
  std::int8_t* codes = to.ball_codes + ball / tile_lanes * width * tile_lanes + ball % tile_lanes;
  double residual = 0;
  for (const std::int32_t* member = members; member < end; ++member)
    residual += static_cast<double>(rows.residuals[*member]) / count;
  const auto centre_residual = static_cast<float>(residual);
  for (Index i = 0; i < width; ++i) {
    int sum = 0;
    for (const std::int32_t* member = members; member < end; ++member) sum += rows.codes[*member * stride + i];
    codes[i * tile_lanes] = static_cast<std::int8_t>(std::lround(sum / count));
  }
  double radius = 0;
  for (const std::int32_t* member = members; member < end; ++member) {
    const double apart = static_cast<double>(rows.residuals[*member]) - static_cast<double>(centre_residual);
    double square = apart * apart;
    for (Index i = 0; i < width; ++i) {
      const double difference =
          static_cast<double>(map.scales()[i]) * (rows.codes[*member * stride + i] - codes[i * tile_lanes]);
      square += difference * difference;
    }
    radius = std::max(radius, std::sqrt(square) + static_cast<double>(rows.errors[*member]));
  }
  // Beyond what float64 rounded, and what float32 will when it compares a ball and what is in it.
  constexpr double room = 1 + 1e-6;
  to.balls[ball] = centre_residual;
  to.balls[ball_lanes + ball] =
      std::nextafter(static_cast<float>(radius * room), std::numeric_limits<float>::infinity());
}

}  // namespace

void arrange_sketches(const SketchMap& map, const SketchRowsInOrder& rows, const SketchArrays& to) {
  near_order({rows.codes, rows.count, map.coordinates(), map.stages()[0], map.scales().data()}, to.order);
  const Index coordinates = map.coordinates(), blocks = tile_count(rows.count), padded = blocks * tile_lanes;
  const auto stages = static_cast<Index>(map.stages().size());
  for (Index lane = 0; lane < padded; ++lane) {
    const bool here = lane < rows.count;
    const Index embedding = here ? to.order[lane] : 0;
    const std::int8_t* codes = rows.codes + embedding * coordinates;
    for (Index stage = 0; stage < stages; ++stage) {
      const Index begin = map.stage_begin(stage), width = map.stages()[stage] - begin;
      std::int8_t* written = stage == 0 ? to.codes + lane / tile_lanes * width * tile_lanes + lane % tile_lanes
                                        : to.codes + padded * begin + lane * width;
      const Index apart = stage == 0 ? tile_lanes : 1;
      for (Index i = 0; i < width; ++i) written[i * apart] = here ? codes[begin + i] : std::int8_t{0};
      to.residuals[stage * padded + lane] = here ? rows.residuals[stage * rows.count + embedding] : 0;
    }
    to.errors[lane] = here ? rows.errors[embedding] : 0;
  }
  const Index ball_lanes = tile_count(blocks) * tile_lanes;
  std::fill_n(to.ball_codes, ball_lanes * map.stages()[0], std::int8_t{0});
  std::fill_n(to.balls, 2 * ball_lanes, 0.0f);
  for (Index ball = 0; ball < blocks; ++ball) {
    const std::int32_t* members = to.order + ball * tile_lanes;
    enclose(map, rows, members, to.order + std::min(rows.count, (ball + 1) * tile_lanes), ball, ball_lanes, to);
  }
}

}  // namespace learndock
