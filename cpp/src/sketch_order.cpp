// SPDX-License-Identifier: Apache-2.0
#include "sketch_order.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

namespace learndock {

namespace {

// Codes of one coordinate, as numbers from 0.
constexpr int code_count = 256, code_zero = 128;
// What a coordinate's variance is taken of, where there are more.
constexpr Index sampled = 2048;

/// Cuts sketches in two, and the parts again, until they are no larger than a block.
class Bisection {
 public:
  Bisection(const SketchRowsInOrder& rows, const SketchMap& map, std::int32_t* order)
      : rows_(rows), stride_(map.coordinates()), width_(map.stages()[0]), order_(order) {
    std::iota(order, order + rows.count, 0);
    for (Index i = 0; i < width_; ++i) {
      const auto scale = static_cast<double>(map.scales()[i]);
      squared_scales_.push_back(scale * scale);
    }
  }

  void cut() {
    std::vector<std::pair<Index, Index>> left{{0, rows_.count}};
    while (!left.empty()) {
      const auto [begin, end] = left.back();
      left.pop_back();
      const Index middle = end - begin <= tile_lanes ? end : partition(begin, end);
      if (middle == end) continue;
      left.emplace_back(middle, end);
      left.emplace_back(begin, middle);
    }
  }

 private:
  const std::int8_t* row(Index at) const { return rows_.codes + order_[at] * stride_; }

  /// Where the second part begins; `end` where all are alike.
  Index partition(Index begin, Index end) {
    const Index widest = widest_coordinate(begin, end);
    if (widest < 0) return end;
    Index counts[code_count] = {};
    for (Index at = begin; at < end; ++at) ++counts[row(at)[widest] + code_zero];
    const int limit = widest_gap(counts, end - begin);
    std::int32_t* middle = std::stable_partition(order_ + begin, order_ + end, [&](std::int32_t embedding) {
      return rows_.codes[embedding * stride_ + widest] + code_zero < limit;
    });
    return middle - order_;
  }

  /// The coordinate of the largest variance; -1 where none varies.
  Index widest_coordinate(Index begin, Index end) {
    const Index step = std::max<Index>(1, (end - begin) / sampled);
    sums_.assign(static_cast<std::size_t>(width_), 0);
    squares_.assign(static_cast<std::size_t>(width_), 0);
    std::int32_t count = 0;
    for (Index at = begin; at < end; at += step, ++count) {
      const std::int8_t* codes = row(at);
      for (Index i = 0; i < width_; ++i) {
        sums_[i] += codes[i];
        squares_[i] += codes[i] * codes[i];
      }
    }
    Index widest = -1;
    double most = 0;
    for (Index i = 0; i < width_; ++i) {
      // Exactly 0 where all are alike.
      const auto spread =
          static_cast<std::int64_t>(squares_[i]) * count - static_cast<std::int64_t>(sums_[i]) * sums_[i];
      const double variance = static_cast<double>(spread) * squared_scales_[i];
      if (variance > most) {
        most = variance;
        widest = i;
      }
    }
    return widest;
  }

  /// The code at which the second part begins: behind the longest run of codes that nobody has, such that neither part
  /// is less than a quarter where that is possible; else the one that halves best.
  static int widest_gap(const Index* counts, Index total) {
    int best = 0, longest = 0, balanced = 0, gap = 0;
    Index below = 0, least = std::numeric_limits<Index>::max();
    for (int code = 0; code < code_count; ++code) {
      if (counts[code] == 0) {
        ++gap;
        continue;
      }
      if (below > 0) {
        const Index apart = std::abs(2 * below - total);
        if (apart < least) {
          least = apart;
          balanced = code;
        }
        if (2 * apart <= total && gap + 1 > longest) {
          longest = gap + 1;
          best = code;
        }
      }
      below += counts[code];
      gap = 0;
    }
    return longest > 0 ? best : balanced;
  }

  const SketchRowsInOrder& rows_;
  Index stride_, width_;
  std::int32_t* order_;
  std::vector<double> squared_scales_;
  std::vector<std::int32_t> sums_, squares_;
};

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
  Bisection(rows, map, to.order).cut();
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
