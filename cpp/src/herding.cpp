// SPDX-License-Identifier: Apache-2.0
#include "learndock/herding.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "aligned_memory.hpp"
#include "learndock/instruction_set.hpp"

namespace learndock {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr float float_infinity = std::numeric_limits<float>::infinity();
constexpr double log2_e = 1.4426950408889634074;

/// Candidates that a thread takes at a time: at dim 32 64 KB of int16, less than a microsecond of work.
constexpr Index block_size = 1024;

/// Below so many candidates float64 takes no longer than the bounds and what goes with them.
constexpr Index fewest_for_bounds = 256;

/// With fewer coordinates int16 saves less reading than its wider bounds cost.
constexpr Index fewest_dims_for_int16 = 8;

/// Coordinates of chosen points that are kept in tiles; when they are full, all sums are brought up to date.
constexpr Index most_kept_coordinates = Index{1} << 21;

/// Tiles whose contenders are looked at first, highest bound first; what is left is shared out among the threads.
constexpr int first_tiles = 4;

/// Tiles with contenders that a thread takes at a time.
constexpr Index tiles_together = 16;

/// Steps after which it is decided whether the bounds are worth their while.
constexpr Index trial_steps = 16;

/// Differences of coordinates must fit into int16, and squared distances into int32 with room for rounding.
constexpr double largest_int16_coordinate = 16383;
constexpr double largest_int16_distance = 46300;
/// Squares of larger coordinates would overflow in float32.
constexpr double largest_float_coordinate = 1e18;
/// Sums of larger means might.
constexpr double largest_float_sum = 1e30;

/// Of a float32 exponential and of what is done with its result, generously, in powers of 2.
constexpr double exponential_error = 0x1p-19;

constexpr Index divided_up(Index count, Index size) { return (count + size - 1) / size; }

float rounded_up(double value) {
  const float rounded = static_cast<float>(value);
  return static_cast<double>(rounded) < value ? std::nextafter(rounded, float_infinity) : rounded;
}

/// The nearest integer to a number below 2^51: by adding and taking away one whose last digit is worth 1.
double nearest(double value) { return (value + 0x1.8p52) - 0x1.8p52; }

double sum_of_squares(const double* values, Index count) {
  // In four parts, so that no addition waits for the one before it.
  double sums[4] = {};
  Index k = 0;
  for (; k + 4 <= count; k += 4)
    for (Index part = 0; part < 4; ++part) sums[part] += values[k + part] * values[k + part];
  for (; k < count; ++k) sums[0] += values[k] * values[k];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double largest_magnitude(const double* values, Index count) {
  double largest[4] = {};
  Index k = 0;
  for (; k + 4 <= count; k += 4)
    for (Index part = 0; part < 4; ++part) largest[part] = std::max(largest[part], std::abs(values[k + part]));
  for (; k < count; ++k) largest[0] = std::max(largest[0], std::abs(values[k]));
  return std::max(std::max(largest[0], largest[1]), std::max(largest[2], largest[3]));
}

/// The candidate of the largest value; of equals the lowest.
struct Best {
  double value = -infinity;
  Index index = -1;

  void offer(double other_value, Index other_index) {
    if (other_value > value || (other_value == value && other_index < index)) *this = {other_value, other_index};
  }
};

/// Deals the blocks of a step out to the workers: each begins with its own and then helps others. Every other step goes
/// through them backwards, so that what was read last, and is still in a cache, is read first.
class BlockOrder {
 public:
  BlockOrder(Index blocks, int workers) : blocks_(blocks), workers_(workers), dealt_(new Dealt[workers]) {}

  void restart() {
    backwards_ = !backwards_;
    for (int worker = 0; worker < workers_; ++worker) dealt_[worker].count = 0;
  }

  /// To be called once for each block.
  Index next(int worker) {
    for (int owner = worker;; owner = (owner + 1) % workers_) {
      const Index begin = blocks_ * owner / workers_, end = blocks_ * (owner + 1) / workers_;
      const Index place = dealt_[owner].count.fetch_add(1, std::memory_order_relaxed);
      if (place < end - begin) return backwards_ ? end - 1 - place : begin + place;
    }
  }

 private:
  /// Each on a cache line of its own.
  struct alignas(64) Dealt {
    std::atomic<Index> count{0};
  };

  Index blocks_;
  int workers_;
  bool backwards_ = false;
  std::unique_ptr<Dealt[]> dealt_;
};

struct Range {
  Index begin, end;
};

/// One herding, a step at a time.
class Herd {
 public:
  Herd(const HerdingProblem& problem, HerdingPrecision precision, int workers)
      : problem_(problem),
        kernels_(active_kernels()),
        blocks_(divided_up(problem.count, block_size)),
        automatic_(precision == HerdingPrecision::automatic),
        precision_(precision),
        order_(blocks_, workers) {
    if (!automatic_) return;
    precision_ = problem.count < fewest_for_bounds     ? HerdingPrecision::float64
                 : problem.dim < fewest_dims_for_int16 ? HerdingPrecision::float32
                                                       : HerdingPrecision::int16;
  }

  const HerdingProblem& problem() const { return problem_; }

  Index steps_left() const { return problem_.n - step_; }

  /// Chooses at most `steps` more. True when all n are chosen.
  bool advance(Index steps, ThreadTeam& team) {
    for (; steps > 0 && step_ < problem_.n; --steps, ++step_) {
      if (step_ == 0) {
        choose_first();
        prepare(team);
      } else if (precision_ == HerdingPrecision::float64) {
        choose_by_sums(team);
      } else {
        choose_by_bounds(team);
      }
    }
    return step_ == problem_.n;
  }

 private:
  /// A candidate's sum of kernel values in float64, over the first `steps` choices.
  struct ExactSum {
    double value = 0;
    Index steps = 0;
  };

  /// What a thread found in its share of a step.
  struct Found {
    Best best;
    Index work = 0;  ///< tiles of float64 that the contenders cost
  };

  const double* row(Index candidate) const { return problem_.candidates + candidate * problem_.dim; }

  double value_of(Index candidate, double sum) const {
    return static_cast<double>(step_ + 1) * problem_.mean[candidate] - sum;
  }

  /// work(block, the block's candidates)
  template <class Work>
  void for_each_block(ThreadTeam& team, const Work& work) {
    order_.restart();
    team.for_each(blocks_, [&](Index, int worker) {
      const Index block = order_.next(worker);
      work(block, Range{block * block_size, std::min(problem_.count, (block + 1) * block_size)});
    });
  }

  void choose_first() {
    Best best;
    for (Index i = 0; i < problem_.count; ++i) best.offer(problem_.mean[i], i);
    problem_.chosen[0] = best.index;
  }

  void prepare(ThreadTeam& team) {
    if (precision_ != HerdingPrecision::float64 && !prepare_bounds(team)) precision_ = HerdingPrecision::float64;
    if (precision_ == HerdingPrecision::int16) prepare_int16(team);
    if (precision_ == HerdingPrecision::float32) prepare_float32(team);
    if (precision_ == HerdingPrecision::float64) prepare_float64(team);
  }

  // In float64: all sums, at every step.

  void prepare_float64(ThreadTeam& team) {
    precision_ = HerdingPrecision::float64;
    sums_.assign(problem_.count, 0.0);
    if (!exact_sums_.empty()) {
      bring_up_to_date(step_, team);
      for (Index i = 0; i < problem_.count; ++i) sums_[i] = exact_sums_[i].value;
    }
    taken_.assign(problem_.count, 0);
    if (!problem_.replace)
      for (Index t = 0; t <= step_; ++t) taken_[problem_.chosen[t]] = 1;
    double_tiles_.resize(tile_count(problem_.count) * problem_.dim * tile_lanes);
    pack_points(problem_.candidates, problem_.count, problem_.dim, double_tiles_.data());
    kernel_row_.resize(tile_count(problem_.count) * tile_lanes);
  }

  void choose_by_sums(ThreadTeam& team) {
    const double one = 1;
    const Embedding last{row(problem_.chosen[step_ - 1]), &one, 1, problem_.dim};
    found_.assign(blocks_, {});
    for_each_block(team, [&](Index block, Range range) {
      kernels_.embed_double(last, problem_.gamma, double_tiles_.data() + range.begin * problem_.dim, 0,
                            range.end - range.begin, kernel_row_.data() + range.begin);
      for (Index i = range.begin; i < range.end; ++i) sums_[i] += kernel_row_[i];
      Best best;
      for (Index i = range.begin; i < range.end; ++i)
        if (!taken_[i]) best.offer(value_of(i, sums_[i]), i);
      found_[block].best = best;
    });
    Best best;
    for (const Found& found : found_) best.offer(found.best.value, found.best.index);
    problem_.chosen[step_] = best.index;
    if (!problem_.replace) taken_[best.index] = 1;
  }

  // By bounds.

  Index tiles() const { return divided_up(problem_.count, herding_lanes); }

  /// A candidate moved and scaled, so that k(x, y) = 2^-||x - y||^2.
  void scale(Index candidate, double* to) const {
    const double *from = row(candidate), *centre = centre_.data();
    for (Index k = 0; k < problem_.dim; ++k) to[k] = (from[k] - centre[k]) * scale_;
  }

  /// What does not depend on the precision. False where float32 can't hold it.
  bool prepare_bounds(ThreadTeam& team) {
    const Index count = problem_.count, dim = problem_.dim;
    const double largest_mean = largest_magnitude(problem_.mean, count);
    const double average = std::accumulate(problem_.mean, problem_.mean + count, 0.0) / static_cast<double>(count);
    const double steps = static_cast<double>(problem_.n) + 2;
    if (!(largest_mean * steps < largest_float_sum)) return false;
    // Kernel values are about as large as the means: their lower bounds are to be sharp there.
    typical_exponent_ = std::clamp(-std::log2(std::max(average, 1e-300)), 0.5, 16.0);

    scale_ = std::sqrt(problem_.gamma * log2_e);
    find_centre(team);
    find_extent(team);
    if (!(largest_coordinate_ < largest_float_coordinate && largest_norm_ < infinity)) return false;

    const Index padded = tiles() * herding_lanes;
    // What float64 itself rounds in its sums, and kernel values too small for float32.
    const double slack = 0x1p-50 * steps * (largest_mean + 1) + 0x1p-90;
    rises_.assign(padded, 0.0f);
    bounds_.assign(padded, -float_infinity);
    for (Index i = 0; i < count; ++i) {
      // Rounding to the nearest costs half of `up`; of a rise, another two are for what the kernel rounds.
      const double mean = problem_.mean[i], up = 0x1p-23 * std::abs(mean) + 0x1p-100;
      rises_[i] = static_cast<float>(mean + 3 * up + slack);
      bounds_[i] = static_cast<float>(mean + up);
    }
    highest_.assign(tiles(), 0.0f);
    highest_of_block_.assign(blocks_, 0.0f);
    exact_sums_.assign(count, {});
    if (!problem_.replace) bounds_[problem_.chosen[0]] = -float_infinity;
    kept_tiles_ = std::clamp<Index>(most_kept_coordinates / (dim * tile_lanes), 1, tile_count(problem_.n));
    kept_.assign(kept_tiles_ * dim * tile_lanes, 0.0);
    return true;
  }

  void find_centre(ThreadTeam& team) {
    const Index dim = problem_.dim;
    centre_.assign(dim, 0.0);
    std::vector<double> of_block(blocks_ * dim, 0.0);
    const double share = 1 / static_cast<double>(problem_.count);
    for_each_block(team, [&](Index block, Range range) {
      double* sum = of_block.data() + block * dim;
      for (Index i = range.begin; i < range.end; ++i)
        for (Index k = 0; k < dim; ++k) sum[k] += row(i)[k] * share;
    });
    for (Index block = 0; block < blocks_; ++block)
      for (Index k = 0; k < dim; ++k) centre_[k] += of_block[block * dim + k];
  }

  void find_extent(ThreadTeam& team) {
    std::vector<double> coordinates(blocks_), norms2(blocks_);
    for_each_block(team, [&](Index block, Range range) {
      std::vector<double> z(problem_.dim);
      double coordinate = 0, norm2 = 0;
      for (Index i = range.begin; i < range.end; ++i) {
        scale(i, z.data());
        coordinate = std::max(coordinate, largest_magnitude(z.data(), problem_.dim));
        norm2 = std::max(norm2, sum_of_squares(z.data(), problem_.dim));
      }
      coordinates[block] = coordinate;
      norms2[block] = norm2;
    });
    largest_coordinate_ = *std::max_element(coordinates.begin(), coordinates.end());
    largest_norm_ = std::sqrt(*std::max_element(norms2.begin(), norms2.end()));
  }

  /// Points as multiples of `unit`, in tiles of `group` neighbouring coordinates a lane. Returns the largest distance
  /// between a point and what it was rounded to.
  template <Index group, class T, class Round>
  double pack_rounded(double unit, const Round& round, AlignedVector<T>& to, ThreadTeam& team) {
    const Index dim = problem_.dim, groups = divided_up(dim, group), tile_size = groups * group * herding_lanes;
    to.assign(tiles() * tile_size, T{});
    std::vector<double> of_block(blocks_);
    for_each_block(team, [&](Index block, Range range) {
      std::vector<double> error(dim), rounded(groups * group, 0.0);
      double largest2 = 0;
      for (Index i = range.begin; i < range.end; ++i) {
        scale(i, error.data());
        for (Index k = 0; k < dim; ++k) {
          rounded[k] = round(error[k]);
          error[k] -= rounded[k] * unit;
        }
        largest2 = std::max(largest2, sum_of_squares(error.data(), dim));
        T* lane = to.data() + i / herding_lanes * tile_size + i % herding_lanes * group;
        for (Index g = 0; g < groups; ++g)
          for (Index k = 0; k < group; ++k)
            lane[g * group * herding_lanes + k] = static_cast<T>(rounded[g * group + k]);
      }
      of_block[block] = std::sqrt(largest2);
    });
    const double largest = *std::max_element(of_block.begin(), of_block.end());
    // And what float64 rounds in the lines above, and in moving and scaling the points.
    return largest * (1 + 0x1p-40 + static_cast<double>(dim) * 0x1p-52) + largest_norm_ * 0x1p-50 + 1e-290;
  }

  /// Kernel values are at least 2^-(slope r^2 + offset) for the distance r of points as multiples of `unit`, if that
  /// times `unit` is off by at most `error` (the header's e) and r^2 is computed with the relative error given.
  void set_lower_bound(double error, double unit, double relative_error) {
    // The h that costs least at the typical distance.
    const double root = std::sqrt(typical_exponent_), h = error / root;
    const double slope = (1 + h) * unit * unit * (1 + relative_error);
    // Last, what float64 rounds in a kernel value.
    const double offset = (error * error + error * root) * (1 + relative_error) + exponential_error +
                          static_cast<double>(problem_.dim) * 0x1p-40;
    // Beyond 2^10 nothing is left of a kernel value; where the slope is beyond float32's range, the offset is so.
    slope_ = rounded_up(std::min(slope, 1e30));
    offset_ = rounded_up(std::min(offset, 0x1p10));
  }

  void prepare_int16(ThreadTeam& team) {
    const double spread = std::sqrt(static_cast<double>(problem_.dim));
    unit_ = std::max({largest_coordinate_ / largest_int16_coordinate,
                      2 * largest_norm_ / (largest_int16_distance - spread), 1e-150});
    per_unit_ = 1 / unit_;
    const auto round = [per_unit = per_unit_](double z) { return nearest(z * per_unit); };
    const double error = pack_rounded<2>(unit_, round, int16_tiles_, team);
    // The candidates' rounding is all the error there is: the remainder of the point that was chosen is kept, as a
    // multiple of a small part of the unit. Its norm is at most spread / 2 units, and its product with a difference
    // must fit into int32.
    remainder_parts_ = std::exp2(std::clamp(std::floor(std::log2(31744 / spread)), 0.0, 14.0));
    const double error_of_remainder = 0.51 * spread / remainder_parts_ * unit_;
    // Two conversions to float32, a product and two sums.
    set_lower_bound(error + error_of_remainder, unit_, 0x1p-20);
  }

  void prepare_float32(ThreadTeam& team) {
    precision_ = HerdingPrecision::float32;
    const auto round = [](double z) { return static_cast<double>(static_cast<float>(z)); };
    const double error = pack_rounded<1>(1.0, round, float_tiles_, team);
    // A difference, its square, dim sums, and then as above.
    set_lower_bound(2 * error, 1.0, static_cast<double>(problem_.dim + 16) * 0x1p-23);
  }

  void read_int16_point(Index candidate) {
    const Index padded = divided_up(problem_.dim, 2) * 2;
    int16_point_.assign(padded, 0);
    remainder_.assign(padded, 0);
    remainder_norm2_ = 0;
    point_.resize(problem_.dim);
    scale(candidate, point_.data());
    for (Index k = 0; k < problem_.dim; ++k) {
      const double z = point_[k] * per_unit_, rounded = nearest(z);
      const double parts = nearest((z - rounded) * remainder_parts_), remainder = parts / remainder_parts_;
      int16_point_[k] = static_cast<std::int16_t>(rounded);
      remainder_[k] = static_cast<std::int16_t>(parts);
      remainder_norm2_ += remainder * remainder;
    }
  }

  void read_float_point(Index candidate) {
    point_.resize(problem_.dim);
    scale(candidate, point_.data());
    float_point_.resize(problem_.dim);
    for (Index k = 0; k < problem_.dim; ++k) float_point_[k] = static_cast<float>(point_[k]);
  }

  void raise_bounds(Range range) {
    const Index tile = range.begin / herding_lanes, size = divided_up(range.end - range.begin, herding_lanes);
    const float* rises = rises_.data() + range.begin;
    float *bounds = bounds_.data() + range.begin, *highest = highest_.data() + tile;
    if (precision_ == HerdingPrecision::float32) {
      kernels_.raise_bounds_float(float_tiles_.data() + range.begin * problem_.dim, float_point_.data(), problem_.dim,
                                  size, {slope_, offset_}, rises, bounds, highest);
      return;
    }
    const Index pairs = divided_up(problem_.dim, 2);
    const Int16Point point{int16_point_.data(), remainder_.data(), static_cast<float>(2 / remainder_parts_)};
    const HerdingStep step{slope_, rounded_up(offset_ + slope_ * remainder_norm2_)};
    kernels_.raise_bounds_int16(int16_tiles_.data() + range.begin * pairs * 2, point, pairs, size, step, rises, bounds,
                                highest);
  }

  /// The sum over the first `steps` choices: the operations of `choose_by_sums` in their order, so the same to the bit.
  double exact_sum(Index candidate, Index steps) {
    ExactSum& sum = exact_sums_[candidate];
    const double one = 1;
    const Embedding point{row(candidate), &one, 1, problem_.dim};
    constexpr Index together = 8;
    double kernel[together * tile_lanes];
    while (sum.steps < steps) {
      const Index tile = (sum.steps - kept_from_) / tile_lanes;
      const Index begin = kept_from_ + tile * tile_lanes, end = std::min(steps, begin + together * tile_lanes);
      kernels_.embed_double(point, problem_.gamma, kept_.data() + tile * problem_.dim * tile_lanes, sum.steps - begin,
                            end - begin, kernel);
      for (; sum.steps < end; ++sum.steps) sum.value += kernel[sum.steps - begin];
    }
    return sum.value;
  }

  void bring_up_to_date(Index steps, ThreadTeam& team) {
    // A few candidates at a time: there may be tens of thousands of steps to catch up with.
    constexpr Index together = 16;
    team.for_each(divided_up(problem_.count, together), [&](Index chunk, int) {
      const Index end = std::min(problem_.count, (chunk + 1) * together);
      for (Index i = chunk * together; i < end; ++i) exact_sum(i, steps);
    });
  }

  void keep_choice(Index t, ThreadTeam& team) {
    if (t - kept_from_ == kept_tiles_ * tile_lanes) {
      bring_up_to_date(t, team);
      kept_from_ = t;
    }
    const Index place = t - kept_from_;
    double* lane = kept_.data() + place / tile_lanes * problem_.dim * tile_lanes + place % tile_lanes;
    for (Index k = 0; k < problem_.dim; ++k) lane[k * tile_lanes] = row(problem_.chosen[t])[k];
  }

  static bool reaches(float bound, const Best& best) {
    return bound > -float_infinity && static_cast<double>(bound) >= best.value;
  }

  void contend(Index candidate, Found& found) {
    found.work += 1 + (step_ - exact_sums_[candidate].steps) / tile_lanes;
    const double value = value_of(candidate, exact_sum(candidate, step_));
    bounds_[candidate] = rounded_up(value);
    found.best.offer(value, candidate);
  }

  /// Computes the values of a tile's candidates that can be as large as the best.
  void contend_tile(Index tile, Found& found) {
    const Index begin = tile * herding_lanes, end = std::min(problem_.count, begin + herding_lanes);
    // The highest bound first: its value may rule out the others.
    const Index first = std::max_element(bounds_.begin() + begin, bounds_.begin() + end) - bounds_.begin();
    if (reaches(bounds_[first], found.best)) contend(first, found);
    for (Index i = begin; i < end; ++i)
      if (i != first && reaches(bounds_[i], found.best)) contend(i, found);
  }

  Range tiles_of(Index block) const {
    constexpr Index in_block = block_size / herding_lanes;
    return {block * in_block, std::min(tiles(), (block + 1) * in_block)};
  }

  void find_highest(Index block) {
    const Range range = tiles_of(block);
    highest_of_block_[block] = *std::max_element(highest_.begin() + range.begin, highest_.begin() + range.end);
  }

  Found best_contender(ThreadTeam& team) {
    Found all;
    for (int looked_at = 0; looked_at < first_tiles; ++looked_at) {
      const auto highest = std::max_element(highest_of_block_.begin(), highest_of_block_.end());
      if (!reaches(*highest, all.best)) return all;
      const Index block = highest - highest_of_block_.begin(), begin = tiles_of(block).begin;
      const Index tile = std::find(highest_.begin() + begin, highest_.end(), *highest) - highest_.begin();
      contend_tile(tile, all);
      highest_[tile] = -float_infinity;
      find_highest(block);
    }
    contending_.clear();
    for (Index block = 0; block < blocks_; ++block) {
      if (!reaches(highest_of_block_[block], all.best)) continue;
      const Range range = tiles_of(block);
      for (Index tile = range.begin; tile < range.end; ++tile)
        if (reaches(highest_[tile], all.best)) contending_.push_back(tile);
    }
    const Index count = static_cast<Index>(contending_.size());
    found_.assign(divided_up(count, tiles_together), {all.best, 0});
    team.for_each(divided_up(count, tiles_together), [&](Index chunk, int) {
      Found found = found_[chunk];
      const Index end = std::min(count, (chunk + 1) * tiles_together);
      for (Index place = chunk * tiles_together; place < end; ++place) contend_tile(contending_[place], found);
      found_[chunk] = found;
    });
    for (const Found& found : found_) {
      all.best.offer(found.best.value, found.best.index);
      all.work += found.work;
    }
    return all;
  }

  void choose_by_bounds(ThreadTeam& team) {
    const Index last = problem_.chosen[step_ - 1];
    keep_choice(step_ - 1, team);
    if (precision_ == HerdingPrecision::float32)
      read_float_point(last);
    else
      read_int16_point(last);
    for_each_block(team, [&](Index block, Range range) {
      raise_bounds(range);
      find_highest(block);
    });
    const Found found = best_contender(team);
    problem_.chosen[step_] = found.best.index;
    if (!problem_.replace) bounds_[found.best.index] = -float_infinity;
    work_ += found.work;
    if (step_ % trial_steps == 0) try_another_precision(team);
  }

  /// A tile of float64 takes about as long as reading two of int16, or one of float32.
  void try_another_precision(ThreadTeam& team) {
    const Index work = work_, all = trial_steps * tile_count(problem_.count);
    work_ = 0;
    if (!automatic_) return;
    if (precision_ == HerdingPrecision::int16 && work > all / 2) {
      prepare_float32(team);
      int16_tiles_ = {};
    } else if (precision_ == HerdingPrecision::float32 && work > all) {
      prepare_float64(team);
      float_tiles_ = {};
    }
  }

  HerdingProblem problem_;
  const CpuKernels& kernels_;
  Index blocks_;
  bool automatic_;
  HerdingPrecision precision_;
  BlockOrder order_;
  Index step_ = 0;
  std::vector<Found> found_;  ///< [blocks] or [chunks of contending tiles]

  AlignedVector<double> double_tiles_;  ///< [tile][dim][tile_lanes]
  std::vector<double> sums_;            ///< [count]
  AlignedVector<double> kernel_row_;    ///< [count], padded
  std::vector<char> taken_;             ///< [count]

  double scale_ = 0;             ///< sqrt(gamma log2 e)
  std::vector<double> centre_;   ///< [dim]
  double typical_exponent_ = 0;  ///< of kernel values, as powers of 2
  double largest_coordinate_ = 0, largest_norm_ = 0;
  float slope_ = 0, offset_ = 0;
  AlignedVector<float> rises_, bounds_;   ///< [count], padded
  std::vector<float> highest_;            ///< [tile], of the bounds
  std::vector<float> highest_of_block_;   ///< [block]
  std::vector<ExactSum> exact_sums_;      ///< [count]
  std::vector<Index> contending_;         ///< tiles
  Index kept_tiles_ = 0, kept_from_ = 0;  ///< kept_from_: the first step that is kept
  AlignedVector<double> kept_;            ///< [kept_tiles_][dim][tile_lanes]
  Index work_ = 0;

  std::vector<double> point_;                ///< [dim], scaled: the last choice
  AlignedVector<float> float_tiles_;         ///< [tile][dim][herding_lanes]
  std::vector<float> float_point_;           ///< [dim]
  AlignedVector<std::int16_t> int16_tiles_;  ///< [tile][pair][herding_lanes][2]
  std::vector<std::int16_t> int16_point_, remainder_;
  double unit_ = 0, per_unit_ = 0, remainder_parts_ = 0, remainder_norm2_ = 0;
};

/// Coordinates of candidates that a thread reads before it looks whether the user wants to stop: some milliseconds.
constexpr Index coordinates_together = Index{1} << 23;

Index coordinates_of(const HerdingProblem& problem) { return problem.count * problem.dim; }

}  // namespace

void herd(const HerdingProblem& problem, HerdingPrecision precision, ThreadTeam& team) {
  Herd(problem, precision, team.size()).advance(problem.n, team);
}

void herd_many(const HerdingProblem* problems, Index problem_count, ThreadTeam& team) {
  const auto cost_of = [&](Index i) {
    return static_cast<double>(coordinates_of(problems[i])) * static_cast<double>(problems[i].n);
  };
  double all = 0;
  for (Index i = 0; i < problem_count; ++i) all += cost_of(i);
  std::vector<Index> small;
  for (Index i = 0; i < problem_count; ++i) {
    // Alone in a thread, the others would wait for it.
    if (cost_of(i) * team.size() > all && problems[i].count > block_size)
      herd(problems[i], HerdingPrecision::automatic, team);
    else
      small.push_back(i);
  }
  // One herding at a time for each thread, so memory does not grow with their number.
  std::vector<std::unique_ptr<Herd>> running(team.size());
  std::atomic<std::size_t> started{0};
  const auto unfinished = [&] {
    return started < small.size() ||
           std::any_of(
               running.begin(), running.end(), [](const std::unique_ptr<Herd>& herd) { return herd != nullptr; });
  };
  while (unfinished())
    team.for_each(team.size(), [&](Index place, int) {
      std::unique_ptr<Herd>& running_here = running[place];
      ThreadTeam alone({1, {}});
      for (Index left = coordinates_together; left > 0;) {
        if (!running_here) {
          const std::size_t next = started++;
          if (next >= small.size()) return;
          running_here = std::make_unique<Herd>(problems[small[next]], HerdingPrecision::automatic, 1);
        }
        const Index coordinates = coordinates_of(running_here->problem());
        const Index steps = std::min(1 + left / coordinates, running_here->steps_left());
        if (running_here->advance(steps, alone)) running_here.reset();
        left -= steps * coordinates;
      }
    });
}

}  // namespace learndock
