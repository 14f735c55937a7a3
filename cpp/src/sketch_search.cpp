// SPDX-License-Identifier: Apache-2.0
#include "learndock/sketch_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "aligned_memory.hpp"
#include "chosen_lanes.hpp"
#include "embedding_runs.hpp"
#include "learndock/instruction_set.hpp"

namespace learndock {

namespace {

constexpr double float_roundoff = 0x1p-24;

// Blocks of balls that one chunk of a pass holds, their blocks of sketches, and queries that meet them at a time.
constexpr Index piece_ball_blocks = 4, piece_blocks = piece_ball_blocks * tile_lanes, together = 8;
constexpr Index chosen_together = 256;

/// The upper half of the bits of a number that is not negative: those of one at most as large, which order alike.
std::int16_t upper_half(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::int16_t>(bits >> 16);
}

/// The smallest guesses seen, with their places; deterministic, whatever the order in which they come.
class Smallest {
 public:
  explicit Smallest(Index most) : most_(static_cast<std::size_t>(most)) {}

  /// What is above is not wanted, nor what is no number, as a damaged file can make it: such guesses have no order.
  float limit() const {
    if (most_ == 0) return -std::numeric_limits<float>::infinity();
    return held_.size() < most_ ? std::numeric_limits<float>::infinity() : held_.front().first;
  }

  void add(float guess, Index place) {
    if (most_ == 0) return;
    const std::pair<float, Index> entry(guess, place);
    if (held_.size() == most_) {
      if (!(entry < held_.front())) return;
      std::pop_heap(held_.begin(), held_.end());
      held_.back() = entry;
    } else {
      held_.push_back(entry);
    }
    std::push_heap(held_.begin(), held_.end());
  }

  const std::vector<std::pair<float, Index>>& held() const { return held_; }

 private:
  std::size_t most_;
  std::vector<std::pair<float, Index>> held_;  // the largest first, as a heap
};

SketchComparison comparison(const SketchMap& map, const SketchQuery& query, float correlation, Index stage) {
  SketchComparison with;
  with.residual = query.residuals[stage];
  with.error = query.error;
  with.shrink = static_cast<float>(1 - static_cast<double>(map.stages()[stage] + 8) * float_roundoff);
  with.correlated_residual = 2 * correlation * with.residual;
  return with;
}

/// The first coordinates of some blocks of sketches, and of balls.
SketchBlocks first_stage(const SketchMap& map, const Sketches& batch, Index first, Index count) {
  const Index width = map.stages()[0];
  return {batch.codes + first * width * tile_lanes, map.scales().data(), count, width};
}

SketchBlocks balls_of(const SketchMap& map, const Sketches& batch, Index first, Index count) {
  const Index width = map.stages()[0];
  return {batch.ball_codes + first * width * tile_lanes, map.scales().data(), count, width};
}

/// The codes of one lane in a stage but the first.
const std::int8_t* row_of(const SketchMap& map, const Sketches& batch, Index stage, Index lane) {
  const Index begin = map.stage_begin(stage), width = map.stages()[stage] - begin;
  return batch.codes + batch.blocks() * tile_lanes * begin + lane * width;
}

/// Balls that are looked at together, and their sketches.
struct Piece {
  const Sketches* batch;
  Index first_ball_block, ball_blocks;
  Index place;      ///< of the batch's first embedding
  Index ball_lane;  ///< of the first ball, among those of all batches

  Index first_block() const { return first_ball_block * tile_lanes; }
  Index ball_lanes() const { return ball_blocks * tile_lanes; }
  Index blocks() const { return std::min(ball_lanes(), batch->blocks() - first_block()); }
};

std::vector<Piece> pieces_of(const std::vector<Sketches>& batches) {
  std::vector<Piece> pieces;
  Index place = 0, ball_lane = 0;
  for (const Sketches& batch : batches) {
    for (Index first = 0; first < batch.ball_blocks(); first += piece_ball_blocks)
      pieces.push_back({&batch, first, std::min(piece_ball_blocks, batch.ball_blocks() - first), place,
                        ball_lane + first * tile_lanes});
    place += batch.count;
    ball_lane += batch.ball_lanes();
  }
  return pieces;
}

/// take(i) for the lanes i below `count` whose bit is set.
template <class Take>
void for_each_bit(const std::uint16_t* bits_of_blocks, Index count, const Take& take) {
  for (Index block = 0; block * tile_lanes < count; ++block)
    for (unsigned bits = bits_of_blocks[block]; bits != 0; bits &= bits - 1) {
      const Index i = block * tile_lanes + __builtin_ctz(bits);
      if (i < count) take(i);
    }
}

/// How many lanes of a block hold an embedding.
Index lanes_stored(const Piece& piece, Index block) {
  return std::min(tile_lanes, piece.batch->count - block * tile_lanes);
}

/// The place of the embedding in a lane of a block.
Index place_in(const Piece& piece, Index block, Index lane) {
  return piece.place + piece.batch->order[block * tile_lanes + lane];
}

bool any_visible(const Piece& piece, Index block, const std::uint8_t* hidden) {
  if (hidden == nullptr) return true;
  for (Index lane = 0; lane < lanes_stored(piece, block); ++lane)
    if (!hidden[place_in(piece, block, lane)]) return true;
  return false;
}

/// Coordinates of the first stage of some queries, one after the other.
void gather_coordinates(const SketchSearch& search, const Index* queries, Index count, std::vector<float>& to) {
  const Index width = search.map.stages()[0];
  to.resize(static_cast<std::size_t>(count * width));
  for (Index i = 0; i < count; ++i) std::copy_n(search.queries[queries[i]]->coordinates.data(), width, &to[i * width]);
}

/// The balls that hold the most promising sketches, by lane among those of all batches, ascending; bounds of all.
std::vector<std::vector<Index>> promising_balls(const SketchSearch& search, const std::vector<Piece>& pieces,
                                                float correlation, Index count, ThreadTeam& team,
                                                std::int16_t* bounds) {
  struct Scratch {
    AlignedArray<float> sums, values;
    std::uint16_t at_most[piece_ball_blocks];
    std::vector<Smallest> best;
  };
  constexpr Index most_lanes = piece_ball_blocks * tile_lanes;
  const CpuKernels& kernels = active_kernels();
  const auto query_count = static_cast<Index>(search.queries.size());
  const Index width = search.map.stages()[0], all_lanes = ball_lanes_of(search.batches);
  std::vector<Index> every(search.queries.size());
  std::iota(every.begin(), every.end(), Index{0});
  std::vector<float> coordinates;
  gather_coordinates(search, every.data(), query_count, coordinates);
  std::vector<Scratch> scratch(team.size());
  for (Scratch& own : scratch) own.best.assign(search.queries.size(), Smallest(count));
  team.for_each(static_cast<Index>(pieces.size()), [&](Index number, int worker) {
    const Piece& piece = pieces[number];
    Scratch& own = scratch[worker];
    float *sums = own.sums.reserve(together * most_lanes), *values = own.values.reserve(most_lanes);
    const float* residuals = piece.batch->balls + piece.first_block();
    const float* radii = residuals + piece.batch->ball_lanes();
    const SketchBlocks balls = balls_of(search.map, *piece.batch, piece.first_ball_block, piece.ball_blocks);
    for (Index q = 0; q < query_count; ++q) {
      if (q % together == 0) {
        std::fill_n(sums, together * most_lanes, 0.0f);
        kernels.sketch_distances(balls, &coordinates[q * width], std::min(together, query_count - q), width, sums,
                                 most_lanes);
      }
      const float* of_query = sums + q % together * most_lanes;
      const SketchComparison with = comparison(search.map, *search.queries[q], correlation, 0);
      kernels.short_bounds(of_query, residuals, radii, piece.ball_blocks, with,
                           bounds + q * all_lanes + piece.ball_lane);
      Smallest& smallest = own.best[q];
      kernels.sketch_guesses(of_query, residuals, piece.ball_blocks, with, smallest.limit(), values, own.at_most);
      for_each_bit(own.at_most, piece.blocks(), [&](Index i) {
        if (any_visible(piece, piece.first_block() + i, search.hidden[q])) smallest.add(values[i], piece.ball_lane + i);
      });
    }
  });
  std::vector<std::vector<Index>> found(search.queries.size());
  for (Index q = 0; q < query_count; ++q) {
    Smallest smallest(count);
    for (const Scratch& own : scratch)
      for (const auto& [guess, lane] : own.best[q].held()) smallest.add(guess, lane);
    for (const auto& [guess, lane] : smallest.held()) found[q].push_back(lane);
    std::sort(found[q].begin(), found[q].end());
  }
  return found;
}

/// A number that orders as (place, bound) does, and both again; places are below 2^32, bounds not negative.
std::uint64_t packed_pair(Index place, float bound) {
  std::uint32_t bits;
  std::memcpy(&bits, &bound, sizeof bits);
  return static_cast<std::uint64_t>(place) << 32 | bits;
}

Index place_of(std::uint64_t pair) { return static_cast<Index>(pair >> 32); }

float bound_of(std::uint64_t pair) {
  const auto bits = static_cast<std::uint32_t>(pair);
  float bound;
  std::memcpy(&bound, &bits, sizeof bound);
  return bound;
}

using Pairs = std::vector<std::uint64_t>;

/// Pairs in the order of their places, which are below `total`: sorted, or where that is less work, each put in its
/// place.
void put_in_order(Pairs& pairs, Index total) {
  constexpr std::uint64_t none = ~std::uint64_t{0};
  if (static_cast<Index>(pairs.size()) < total / 16) {
    std::sort(pairs.begin(), pairs.end());
    return;
  }
  Pairs by_place(static_cast<std::size_t>(total), none);
  for (const std::uint64_t pair : pairs) by_place[static_cast<std::size_t>(place_of(pair))] = pair;
  std::copy_if(by_place.begin(), by_place.end(), pairs.begin(), [](std::uint64_t pair) { return pair != none; });
}

/// Bit i of at_most[block] is set where the bound of ball i of a piece is at most the reach of a query.
void balls_within(const Piece& piece, const std::int16_t* bounds, float reach, std::uint16_t* at_most) {
  active_kernels().halves_at_most(bounds + piece.ball_lane, piece.ball_blocks,
                                  reach >= 0 ? upper_half(std::abs(reach)) : -1, at_most);
}

/// What queries find in blocks of sketches.
class Look {
 public:
  /// By one thread, and its memory.
  struct Found {
    std::vector<Pairs> pairs;               ///< of each query
    std::vector<Index> near[piece_blocks];  ///< queries that look into each block
    std::vector<float> coordinates;
  };

  Look(const SketchSearch& search, const float* reach) : search_(search), reach_(reach) {
    for (const SketchQuery* query : search.queries) with_.push_back(comparison(search.map, *query, 0, 0));
  }

  /// Into the blocks of a piece by those queries that their balls, of these bounds, do not rule out.
  void into(const Piece& piece, const std::int16_t* bounds, Index all_lanes, Found& found) const {
    for (std::vector<Index>& near : found.near) near.clear();
    for (Index q = 0; q < static_cast<Index>(with_.size()); ++q) {
      std::uint16_t at_most[piece_ball_blocks];
      balls_within(piece, bounds + q * all_lanes, reach_[q], at_most);
      for_each_bit(at_most, piece.blocks(), [&](Index i) { found.near[i].push_back(q); });
    }
    for (Index i = 0; i < piece.blocks(); ++i) into_block(piece, piece.first_block() + i, found.near[i], found);
  }

 private:
  void into_block(const Piece& piece, Index block, const std::vector<Index>& queries, Found& found) const {
    const Index width = search_.map.stages()[0], first = block * tile_lanes;
    const SketchBlocks blocks = first_stage(search_.map, *piece.batch, block, 1);
    const Index stored = lanes_stored(piece, block);
    alignas(64) float sums[together * tile_lanes], bounds[tile_lanes];
    std::uint16_t at_most = 0;
    for (std::size_t done = 0; done < queries.size(); done += together) {
      const Index here = std::min(together, static_cast<Index>(queries.size() - done));
      gather_coordinates(search_, queries.data() + done, here, found.coordinates);
      std::fill_n(sums, here * tile_lanes, 0.0f);
      active_kernels().sketch_distances(blocks, found.coordinates.data(), here, width, sums, tile_lanes);
      for (Index i = 0; i < here; ++i) {
        const Index q = queries[done + static_cast<std::size_t>(i)];
        const std::uint8_t* hidden = search_.hidden[q];
        active_kernels().sketch_bounds(sums + i * tile_lanes, piece.batch->residuals + first,
                                       piece.batch->errors + first, 1, with_[q], reach_[q], bounds, &at_most);
        for_each_bit(&at_most, stored, [&](Index lane) {
          const Index place = place_in(piece, block, lane);
          if (hidden == nullptr || !hidden[place]) found.pairs[q].push_back(packed_pair(place, bounds[lane]));
        });
      }
    }
  }

  const SketchSearch& search_;
  const float* reach_;
  std::vector<SketchComparison> with_;
};

Index count_of(const std::vector<Sketches>& batches) {
  Index total = 0;
  for (const Sketches& batch : batches) total += batch.count;
  return total;
}

}  // namespace

std::vector<std::int32_t> lanes_of_order(const std::int32_t* order, Index count) {
  std::vector<std::int32_t> lanes(static_cast<std::size_t>(count), -1);
  for (Index lane = 0; lane < count; ++lane) {
    if (order[lane] < 0 || order[lane] >= count || lanes[order[lane]] >= 0)
      throw std::invalid_argument("order: expected each embedding once");
    lanes[order[lane]] = static_cast<std::int32_t>(lane);
  }
  return lanes;
}

Index ball_lanes_of(const std::vector<Sketches>& batches) {
  Index total = 0;
  for (const Sketches& batch : batches) total += batch.ball_lanes();
  return total;
}

void promising_sketches(const SketchSearch& search, float correlation, Index count, ThreadTeam& team,
                        std::int16_t* bounds, Index* places) {
  const std::vector<Piece> pieces = pieces_of(search.batches);
  const std::vector<std::vector<Index>> balls = promising_balls(search, pieces, correlation, count, team, bounds);
  const auto query_count = static_cast<Index>(search.queries.size());
  team.for_each(query_count, [&](Index q, int) {
    alignas(64) float sums[tile_lanes], values[tile_lanes];
    std::uint16_t at_most = 0;
    const SketchComparison with = comparison(search.map, *search.queries[q], correlation, 0);
    Smallest smallest(count);
    auto piece = pieces.begin();
    for (const Index ball : balls[q]) {
      while (ball >= piece->ball_lane + piece->ball_lanes()) ++piece;
      const Index block = piece->first_block() + ball - piece->ball_lane;
      first_distances(search.map, *piece->batch, *search.queries[q], block, sums);
      active_kernels().sketch_guesses(sums, piece->batch->residuals + block * tile_lanes, 1, with, smallest.limit(),
                                      values, &at_most);
      const std::uint8_t* hidden = search.hidden[q];
      for_each_bit(&at_most, lanes_stored(*piece, block), [&](Index lane) {
        const Index place = place_in(*piece, block, lane);
        if (hidden == nullptr || !hidden[place]) smallest.add(values[lane], place);
      });
    }
    std::vector<std::pair<float, Index>> all = smallest.held();
    std::sort(all.begin(), all.end());
    for (Index i = 0; i < count; ++i) places[q * count + i] = i < static_cast<Index>(all.size()) ? all[i].second : -1;
  });
}

Index balls_to_look_into(const SketchSearch& search, const std::int16_t* bounds, const float* reach) {
  const std::vector<Piece> pieces = pieces_of(search.batches);
  const Index all_lanes = ball_lanes_of(search.batches);
  Index count = 0;
  for (std::size_t q = 0; q < search.queries.size(); ++q)
    for (const Piece& piece : pieces) {
      std::uint16_t at_most[piece_ball_blocks];
      balls_within(piece, bounds + static_cast<Index>(q) * all_lanes, reach[q], at_most);
      for_each_bit(at_most, piece.blocks(), [&](Index) { ++count; });
    }
  return count;
}

std::vector<SketchesWithin> sketches_within(const SketchSearch& search, const std::int16_t* bounds, const float* reach,
                                            ThreadTeam& team) {
  const auto query_count = static_cast<Index>(search.queries.size());
  const std::vector<Piece> pieces = pieces_of(search.batches);
  const Index all_lanes = ball_lanes_of(search.batches), total = count_of(search.batches);
  const Look look(search, reach);
  std::vector<Look::Found> parts(team.size());
  for (Look::Found& part : parts) part.pairs.resize(search.queries.size());
  team.for_each(static_cast<Index>(pieces.size()),
                [&](Index number, int worker) { look.into(pieces[number], bounds, all_lanes, parts[worker]); });
  std::vector<SketchesWithin> within(search.queries.size());
  team.for_each(query_count, [&](Index q, int) {
    Pairs all = std::move(parts[0].pairs[q]);
    for (std::size_t worker = 1; worker < parts.size(); ++worker) {
      Pairs& part = parts[worker].pairs[q];
      all.insert(all.end(), part.begin(), part.end());
      Pairs().swap(part);
    }
    put_in_order(all, total);
    within[q].places.reserve(all.size());
    within[q].bounds.reserve(all.size());
    for (const std::uint64_t pair : all) {
      within[q].places.push_back(place_of(pair));
      within[q].bounds.push_back(bound_of(pair));
    }
  });
  return within;
}

void first_distances(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index block, float* sums) {
  std::fill_n(sums, tile_lanes, 0.0f);
  active_kernels().sketch_distances(first_stage(map, batch, block, 1), query.coordinates.data(), 1, 0, sums, 0);
}

float further_distance(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index stage, Index lane) {
  float sum = 0;
  for (Index s = 1; s <= stage; ++s) {
    const Index begin = map.stage_begin(s);
    sum += active_kernels().sketch_row_distance(row_of(map, batch, s, lane), map.scales().data() + begin,
                                                query.coordinates.data() + begin, map.stages()[s] - begin);
  }
  return sum;
}

void refined_bounds(const SketchMap& map, const std::vector<Sketches>& batches, const SketchQuery& query,
                    float correlation, Index stage, const Index* chosen, Index chosen_count, ThreadTeam& team,
                    float* bounds, float* guesses) {
  constexpr Index ahead = 8;  // places that a processor could not foresee
  const SketchComparison with = comparison(map, query, correlation, stage);
  const ChosenLanes lanes(batches, chosen, chosen_count);
  // Inline by force: see fetch_ahead.
  const auto fetch = [&](const ChosenLanes::Chosen& one) __attribute__((always_inline)) {
    const Sketches& batch = batches[one.batch];
    fetch_ahead(first_stage(map, batch, one.lane / tile_lanes, 1).codes, map.stages()[0] * tile_lanes);
    for (Index s = 1; s <= stage; ++s)
      fetch_ahead(row_of(map, batch, s, one.lane), map.stages()[s] - map.stage_begin(s));
    __builtin_prefetch(batch.residuals + stage * batch.blocks() * tile_lanes + one.lane);
    __builtin_prefetch(batch.errors + one.lane);
  };
  const Index chunks = (chosen_count + chosen_together - 1) / chosen_together;
  team.for_each(chunks, [&](Index chunk, int) {
    const Index end = std::min(chosen_count, (chunk + 1) * chosen_together);
    std::pair<Index, Index> known(-1, -1);
    alignas(64) float first[tile_lanes];
    // So many places make a block of their own.
    alignas(64) float sums[tile_lanes] = {}, residuals[tile_lanes] = {}, errors[tile_lanes] = {};
    alignas(64) float found[tile_lanes], guessed[tile_lanes];
    for (Index begin = chunk * chosen_together; begin < end; begin += tile_lanes) {
      const Index here = std::min(tile_lanes, end - begin);
      for (Index i = 0; i < here; ++i) {
        if (begin + i + ahead < end) fetch(lanes[begin + i + ahead]);
        const ChosenLanes::Chosen one = lanes[begin + i];
        const Sketches& batch = batches[one.batch];
        const std::pair<Index, Index> block(one.batch, one.lane / tile_lanes);
        if (block != known) {
          first_distances(map, batch, query, block.second, first);
          known = block;
        }
        sums[i] = first[one.lane % tile_lanes] + further_distance(map, batch, query, stage, one.lane);
        residuals[i] = batch.residuals[stage * batch.blocks() * tile_lanes + one.lane];
        errors[i] = batch.errors[one.lane];
      }
      std::uint16_t unused = 0;
      active_kernels().sketch_bounds(sums, residuals, errors, 1, with, 0, found, &unused);
      active_kernels().sketch_guesses(sums, residuals, 1, with, 0, guessed, &unused);
      for (Index i = 0; i < here; ++i) {
        const Index number = lanes[begin + i].number;
        bounds[number] = found[i];
        guesses[number] = guessed[i];
      }
    }
  });
}

}  // namespace learndock
