// SPDX-License-Identifier: Apache-2.0
#include "learndock/near_order.hpp"

#include <algorithm>
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

/// Cuts rows in two, and the parts again, until they are no larger than a tile.
class Bisection {
 public:
  Bisection(const CodeRows& rows, std::int32_t* order) : rows_(rows), order_(order) {
    std::iota(order, order + rows.count, 0);
    for (Index i = 0; i < rows.width; ++i) {
      const auto scale = static_cast<double>(rows.scales[i]);
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
  const std::int8_t* row(Index at) const { return rows_.codes + order_[at] * rows_.stride; }

  /// Where the second part begins; `end` where all are alike.
  Index partition(Index begin, Index end) {
    const Index widest = widest_coordinate(begin, end);
    if (widest < 0) return end;
    Index counts[code_count] = {};
    for (Index at = begin; at < end; ++at) ++counts[row(at)[widest] + code_zero];
    const int limit = widest_gap(counts, end - begin);
    std::int32_t* middle = std::stable_partition(order_ + begin, order_ + end, [&](std::int32_t row) {
      return rows_.codes[row * rows_.stride + widest] + code_zero < limit;
    });
    return middle - order_;
  }

  /// The coordinate of the largest variance; -1 where none varies.
  Index widest_coordinate(Index begin, Index end) {
    const Index step = std::max<Index>(1, (end - begin) / sampled);
    sums_.assign(static_cast<std::size_t>(rows_.width), 0);
    squares_.assign(static_cast<std::size_t>(rows_.width), 0);
    std::int32_t count = 0;
    for (Index at = begin; at < end; at += step, ++count) {
      const std::int8_t* codes = row(at);
      for (Index i = 0; i < rows_.width; ++i) {
        sums_[i] += codes[i];
        squares_[i] += codes[i] * codes[i];
      }
    }
    Index widest = -1;
    double most = 0;
    for (Index i = 0; i < rows_.width; ++i) {
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

  const CodeRows& rows_;
  std::int32_t* order_;
  std::vector<double> squared_scales_;
  std::vector<std::int32_t> sums_, squares_;
};

}  // namespace

void near_order(const CodeRows& rows, std::int32_t* order) { Bisection(rows, order).cut(); }

}  // namespace learndock
