// SPDX-License-Identifier: Apache-2.0
#include "learndock/sketch.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "batch_starts.hpp"
#include "embedding_runs.hpp"
#include "learndock/instruction_set.hpp"
#include "learndock/kernel_sums.hpp"

namespace learndock {

namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double double_roundoff = 0x1p-53;
constexpr double float_roundoff = 0x1p-24;
constexpr int largest_code = 127;

// Embeddings whose values are multiplied by the map together, and sketches that one chunk of a pass holds.
constexpr Index encoded_together = tile_lanes;
constexpr Index pass_blocks = 64;
constexpr Index chosen_together = 256;

// Points up to which the error of a float64 distance is bounded for both embeddings alike, so that each of the two can
// bring its own part.
constexpr double points_in_error = 65536;

// Coordinates, residuals and errors above have squares that float32 can't add up, and distances about as small as the
// other have squares that it rounds to a few digits or to none.
constexpr double largest_known = 1e17, smallest_known = 1e-20;

double absolute_sum(const double* weights, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += std::abs(weights[i]);
  return sum;
}

float rounded_up(double value) {
  const auto nearest = static_cast<float>(value);
  return std::nextafter(nearest, std::numeric_limits<float>::infinity());
}

Index lowest_bit(unsigned bits) {
  Index bit = 0;
  while (!(bits >> bit & 1u)) ++bit;
  return bit;
}

/// The upper half of the bits of a number that is not negative: those of one at most as large, which order alike.
std::int16_t upper_half(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::int16_t>(bits >> 16);
}

float of_upper_half(std::int16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
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

SketchBlocks first_stage(const SketchMap& map, const Sketches& batch, Index first, Index count) {
  const Index width = map.stages()[0];
  SketchBlocks blocks;
  blocks.codes = batch.codes + first * width * tile_lanes;
  blocks.scales = map.scales().data();
  blocks.count = count;
  blocks.coordinates = width;
  return blocks;
}

/// The codes of one embedding in a stage but the first.
const std::int8_t* row_of(const SketchMap& map, const Sketches& batch, Index stage, Index at) {
  const Index begin = map.stage_begin(stage), width = map.stages()[stage] - begin;
  return batch.codes + batch.blocks() * tile_lanes * begin + at * width;
}

/// A piece of a batch, small enough to stay in a cache while all queries go over it.
struct Piece {
  const Sketches* batch;
  Index first_block, blocks;
  Index place;  ///< of its first sketch in all batches
  Index lane;   ///< of its first sketch in all bounds of a query

  Index first() const { return first_block * tile_lanes; }
  Index count() const { return std::min(blocks * tile_lanes, batch->count - first()); }
  Index lanes() const { return blocks * tile_lanes; }
};

/// take(i, place) for the sketches of a piece whose bit is set and that may be returned to query q.
template <class Take>
void for_each_taken(const SketchSearch& search, const Piece& piece, Index q, const std::uint16_t* bits_of_blocks,
                    const Take& take) {
  const std::uint8_t* hidden = search.hidden[q] == nullptr ? nullptr : search.hidden[q] + piece.place;
  for (Index block = 0; block < piece.blocks; ++block)
    for (unsigned bits = bits_of_blocks[block]; bits != 0; bits &= bits - 1) {
      const Index i = block * tile_lanes + lowest_bit(bits);
      if (i < piece.count() && (hidden == nullptr || !hidden[i])) take(i, piece.place + i);
    }
}

std::vector<Piece> pieces_of(const std::vector<Sketches>& batches) {
  std::vector<Piece> pieces;
  Index place = 0, lane = 0;
  for (const Sketches& batch : batches) {
    for (Index block = 0; block < batch.blocks(); block += pass_blocks) {
      const Index first = block * tile_lanes;
      pieces.push_back({&batch, block, std::min(pass_blocks, batch.blocks() - block), place + first, lane + first});
    }
    place += batch.count;
    lane += batch.blocks() * tile_lanes;
  }
  return pieces;
}

}  // namespace

SketchMap::SketchMap(const double* landmarks, Index landmark_count, Index dim, double gamma, const double* map,
                     const double* offsets, const float* scales, std::vector<Index> stages)
    : dim_(dim),
      landmark_count_(landmark_count),
      gamma_(gamma),
      landmarks_(landmarks, landmarks + landmark_count * dim),
      landmark_tiles_(tile_count(landmark_count) * dim * tile_lanes),
      map_(map, map + stages.back() * landmark_count),
      offsets_(offsets, offsets + stages.back()),
      scales_(scales, scales + stages.back()),
      stages_(std::move(stages)) {
  pack_points(landmarks, landmark_count, dim, landmark_tiles_.data());
  double squares = 0;
  for (const double entry : map_) squares += entry * entry;
  map_norm_ = std::sqrt(squares);
}

float SketchMap::finish(const double* coordinates, double self_inner, double absolute_weight, Index count,
                        double stored, float* residuals, Index residual_stride) const {
  const auto landmarks = static_cast<double>(landmark_count_), points = static_cast<double>(count),
             dims = static_cast<double>(dim_);
  // Of the coordinates: roundings of the values at the landmarks, and of their products with the map.
  const double numeric =
      map_norm_ * std::sqrt(landmarks) * absolute_weight * (landmarks + points + dims + 64) * double_roundoff;
  const double self_error = absolute_weight * absolute_weight * (2 * points + dims + 64) * 2 * double_roundoff;
  // Of the float64 distances that searches compare with, as a distance.
  const double compared =
      absolute_weight * std::sqrt((2 * std::max(points, points_in_error) + dims + 64) * 2 * double_roundoff);
  double norm = 0, residual_error = 0, largest_residual = 0;
  Index done = 0;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    for (; done < stages_[stage]; ++done) norm += coordinates[done] * coordinates[done];
    const double square = self_inner - norm;
    const double uncertain = self_error + 2 * numeric * std::sqrt(norm) + numeric * numeric;
    const double low = std::sqrt(std::max(0.0, square - uncertain)),
                 high = std::sqrt(std::max(0.0, square + uncertain));
    const auto middle = static_cast<float>((low + high) / 2);
    residuals[static_cast<Index>(stage) * residual_stride] = middle;
    residual_error = std::max({residual_error, high - middle, middle - low});
    largest_residual = std::max(largest_residual, high);
  }
  const double in_coordinates = stored + numeric;
  const double error = std::sqrt(in_coordinates * in_coordinates + residual_error * residual_error) + compared;
  // Not so of what is no number either.
  if (std::isfinite(self_inner) && error < largest_known && std::sqrt(norm) < largest_known &&
      largest_residual < largest_known)
    return rounded_up(error + smallest_known);
  // The bound says that nothing is known.
  for (std::size_t stage = 0; stage < stages_.size(); ++stage)
    residuals[static_cast<Index>(stage) * residual_stride] = 0;
  return std::numeric_limits<float>::infinity();
}

void SketchMap::encode(const PackedEmbeddings<float>& batch, const double* self_inner, ThreadTeam& team,
                       std::int8_t* codes, float* residuals, float* errors, const Also& also) const {
  struct Scratch {
    UnpackedRows rows;
    RowMajor values, coordinates;
    double absolute_weights[encoded_together];
  };
  const Index blocks = tile_count(batch.count), width = coordinates();
  const Eigen::Map<const RowMajor> map(map_.data(), width, landmark_count_);
  const Index padded_landmarks = tile_count(landmark_count_) * tile_lanes;
  std::vector<Scratch> scratch(team.size());
  team.for_each(blocks, [&](Index block, int worker) {
    Scratch& own = scratch[worker];
    const Index first = block * tile_lanes, here = std::min(tile_lanes, batch.count - first);
    own.values.resize(encoded_together, padded_landmarks);
    for (Index lane = 0; lane < here; ++lane) {
      const Embedding embedding = own.rows.of(batch, first + lane);
      own.absolute_weights[lane] = absolute_sum(embedding.weights, embedding.count);
      active_kernels().embed_double(embedding, gamma_, landmark_tiles_.data(), tile_count(landmark_count_),
                                    own.values.row(lane).data());
    }
    own.coordinates.noalias() = own.values.topLeftCorner(here, landmark_count_) * map.transpose();
    if (also) also(first, here, own.coordinates.data(), worker);
    for (Index lane = 0; lane < tile_lanes; ++lane) {
      double stored = 0;
      Index stage = 0;
      for (Index i = 0; i < width; ++i) {
        if (i == stages_[stage]) ++stage;
        const Index begin = stage_begin(stage), stage_width = stages_[stage] - begin;
        std::int8_t& code = stage == 0 ? codes[(block * stage_width + i) * tile_lanes + lane]
                                       : codes[blocks * tile_lanes * begin + (first + lane) * stage_width + i - begin];
        code = 0;
        if (lane >= here) continue;
        const double value = own.coordinates(lane, i) - offsets_[i], scale = static_cast<double>(scales_[i]);
        const double steps = std::nearbyint(value / scale);
        if (steps > largest_code)
          code = largest_code;
        else if (steps < -largest_code)
          code = -largest_code;
        else if (steps == steps)
          code = static_cast<std::int8_t>(steps);
        const double rest = value - scale * code;
        stored += rest * rest;
      }
      const Index at = first + lane;
      if (lane >= here) {
        for (std::size_t s = 0; s < stages_.size(); ++s)
          residuals[static_cast<Index>(s) * blocks * tile_lanes + at] = 0;
        errors[at] = 0;
        continue;
      }
      errors[at] =
          finish(own.coordinates.row(lane).data(), self_inner[at], own.absolute_weights[lane],
                 batch.offsets[at + 1] - batch.offsets[at], std::sqrt(stored), residuals + at, blocks * tile_lanes);
    }
  });
}

SketchQuery SketchMap::query(const Embedding& embedding, double self_inner, ThreadTeam& team) const {
  Eigen::VectorXd values(landmark_count_);
  embed_points(embedding, landmarks_.data(), landmark_count_, gamma_, team, values.data());
  const Index width = coordinates();
  const Eigen::VectorXd found = Eigen::Map<const RowMajor>(map_.data(), width, landmark_count_) * values;
  SketchQuery query;
  query.exact.assign(found.data(), found.data() + width);
  double rounding = 0, scales = 0;
  for (Index i = 0; i < width; ++i) {
    const double shifted = found[i] - offsets_[i], scale = static_cast<double>(scales_[i]);
    query.coordinates.push_back(static_cast<float>(shifted));
    const double rest = shifted - static_cast<double>(query.coordinates.back());
    rounding += rest * rest;
    scales += scale * scale;
  }
  query.residuals.resize(stages_.size());
  // And the products of codes and scales, which float32 rounds where it has no fused multiplication.
  const double stored = std::sqrt(rounding) + 2 * largest_code * float_roundoff * std::sqrt(scales);
  query.error = finish(found.data(), self_inner, absolute_sum(embedding.weights, embedding.count), embedding.count,
                       stored, query.residuals.data(), 1);
  if (std::isinf(query.error)) std::fill(query.coordinates.begin(), query.coordinates.end(), 0.0f);
  return query;
}

void values_at_points(const PackedEmbeddings<float>& batch, const double* points, Index point_count, double gamma,
                      ThreadTeam& team, double* values) {
  struct Scratch {
    UnpackedRows rows;
    AlignedArray<double> values;
  };
  const Index tiles = tile_count(point_count);
  std::vector<double> packed(tiles * batch.dim * tile_lanes);
  pack_points(points, point_count, batch.dim, packed.data());
  std::vector<Scratch> scratch(team.size());
  team.for_each(batch.count, [&](Index i, int worker) {
    Scratch& own = scratch[worker];
    double* found = own.values.reserve(tiles * tile_lanes);
    active_kernels().embed_double(own.rows.of(batch, i), gamma, packed.data(), tiles, found);
    std::copy_n(found, point_count, values + i * point_count);
  });
}

Index padded_total(const std::vector<Sketches>& batches) {
  Index total = 0;
  for (const Sketches& batch : batches) total += batch.blocks() * tile_lanes;
  return total;
}

void promising_sketches(const SketchSearch& search, float correlation, Index count, ThreadTeam& team,
                        std::int16_t* bounds, Index* places) {
  constexpr Index together = 8;  // queries that a piece in the first cache meets at a time
  struct Scratch {
    AlignedArray<float> sums, values;
    std::uint16_t at_most[pass_blocks];
    std::vector<Smallest> best;
  };
  const CpuKernels& kernels = active_kernels();
  const auto query_count = static_cast<Index>(search.queries.size());
  const Index width = search.map.stages()[0];
  std::vector<float> coordinates(query_count * width);
  for (Index q = 0; q < query_count; ++q)
    std::copy_n(search.queries[q]->coordinates.data(), width, &coordinates[q * width]);
  const std::vector<Piece> pieces = pieces_of(search.batches);
  std::vector<Scratch> scratch(team.size());
  for (Scratch& own : scratch) own.best.assign(query_count, Smallest(count));
  team.for_each(static_cast<Index>(pieces.size()), [&](Index number, int worker) {
    const Piece& piece = pieces[number];
    const float *residuals = piece.batch->residuals + piece.first(), *errors = piece.batch->errors + piece.first();
    Scratch& own = scratch[worker];
    constexpr Index most_lanes = pass_blocks * tile_lanes;
    float *sums = own.sums.reserve(together * most_lanes), *values = own.values.reserve(most_lanes);
    const SketchBlocks blocks = first_stage(search.map, *piece.batch, piece.first_block, piece.blocks);
    for (Index q = 0; q < query_count; ++q) {
      if (q % together == 0) {
        std::fill_n(sums, together * most_lanes, 0.0f);
        kernels.sketch_distances(blocks, &coordinates[q * width], std::min(together, query_count - q), width, sums,
                                 most_lanes);
      }
      const float* of_query = sums + q % together * most_lanes;
      const SketchComparison with = comparison(search.map, *search.queries[q], correlation, 0);
      kernels.short_bounds(of_query, residuals, errors, piece.blocks, with,
                           bounds + piece.lane * query_count + q * piece.lanes());
      Smallest& smallest = own.best[q];
      kernels.sketch_guesses(of_query, residuals, piece.blocks, with, smallest.limit(), values, own.at_most);
      for_each_taken(search, piece, q, own.at_most, [&](Index i, Index place) { smallest.add(values[i], place); });
    }
  });
  for (Index q = 0; q < query_count; ++q) {
    std::vector<std::pair<float, Index>> all;
    for (const Scratch& own : scratch) all.insert(all.end(), own.best[q].held().begin(), own.best[q].held().end());
    std::sort(all.begin(), all.end());
    for (Index i = 0; i < count; ++i) places[q * count + i] = i < static_cast<Index>(all.size()) ? all[i].second : -1;
  }
}

std::vector<SketchesWithin> sketches_within(const SketchSearch& search, const std::int16_t* bounds, const float* reach,
                                            ThreadTeam& team) {
  const auto query_count = static_cast<Index>(search.queries.size());
  const std::vector<Piece> pieces = pieces_of(search.batches);
  // Of each piece and query, so that places come out in order.
  std::vector<SketchesWithin> parts(pieces.size() * search.queries.size());
  team.for_each(static_cast<Index>(pieces.size()), [&](Index number, int) {
    const Piece& piece = pieces[number];
    std::uint16_t at_most[pass_blocks];
    for (Index q = 0; q < query_count; ++q) {
      const std::int16_t* of_query = bounds + piece.lane * query_count + q * piece.lanes();
      active_kernels().halves_at_most(of_query, piece.blocks, reach[q] >= 0 ? upper_half(std::abs(reach[q])) : -1,
                                      at_most);
      SketchesWithin& found = parts[number * query_count + q];
      for_each_taken(search, piece, q, at_most, [&](Index i, Index place) {
        found.places.push_back(place);
        found.bounds.push_back(of_upper_half(of_query[i]));
      });
    }
  });
  std::vector<SketchesWithin> within(search.queries.size());
  for (std::size_t part = 0; part < parts.size(); ++part) {
    SketchesWithin& of_query = within[part % search.queries.size()];
    of_query.places.insert(of_query.places.end(), parts[part].places.begin(), parts[part].places.end());
    of_query.bounds.insert(of_query.bounds.end(), parts[part].bounds.begin(), parts[part].bounds.end());
  }
  return within;
}

void first_distances(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index block, float* sums) {
  std::fill_n(sums, tile_lanes, 0.0f);
  active_kernels().sketch_distances(first_stage(map, batch, block, 1), query.coordinates.data(), 1, 0, sums, 0);
}

float further_distance(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index stage, Index at) {
  float sum = 0;
  for (Index s = 1; s <= stage; ++s) {
    const Index begin = map.stage_begin(s);
    sum += active_kernels().sketch_row_distance(row_of(map, batch, s, at), map.scales().data() + begin,
                                                query.coordinates.data() + begin, map.stages()[s] - begin);
  }
  return sum;
}

void refined_bounds(const SketchMap& map, const std::vector<Sketches>& batches, const SketchQuery& query,
                    float correlation, Index stage, const Index* chosen, Index chosen_count, ThreadTeam& team,
                    float* bounds, float* guesses) {
  constexpr Index ahead = 8;  // places that a processor could not foresee
  const BatchStarts starts(batches);
  const SketchComparison with = comparison(map, query, correlation, stage);
  const auto fetch = [&](Index place) {
    const Index b = starts.batch_of(place), at = place - starts[b];
    const Sketches& batch = batches[b];
    fetch_ahead(first_stage(map, batch, at / tile_lanes, 1).codes, map.stages()[0] * tile_lanes);
    for (Index s = 1; s <= stage; ++s) fetch_ahead(row_of(map, batch, s, at), map.stages()[s] - map.stage_begin(s));
    __builtin_prefetch(batch.residuals + stage * batch.blocks() * tile_lanes + at);
    __builtin_prefetch(batch.errors + at);
  };
  const Index chunks = (chosen_count + chosen_together - 1) / chosen_together;
  team.for_each(chunks, [&](Index chunk, int) {
    const Index end = std::min(chosen_count, (chunk + 1) * chosen_together);
    Index known = -1;
    alignas(64) float first[tile_lanes];
    // So many places make a block of their own.
    alignas(64) float sums[tile_lanes] = {}, residuals[tile_lanes] = {}, errors[tile_lanes] = {};
    alignas(64) float found[tile_lanes], guessed[tile_lanes];
    for (Index begin = chunk * chosen_together; begin < end; begin += tile_lanes) {
      const Index here = std::min(tile_lanes, end - begin);
      for (Index lane = 0; lane < here; ++lane) {
        const Index i = begin + lane;
        if (i + ahead < end) fetch(chosen[i + ahead]);
        const Index b = starts.batch_of(chosen[i]), at = chosen[i] - starts[b], block = at / tile_lanes;
        const Sketches& batch = batches[b];
        if (starts[b] + block * tile_lanes != known) {
          first_distances(map, batch, query, block, first);
          known = starts[b] + block * tile_lanes;
        }
        sums[lane] = first[at % tile_lanes] + further_distance(map, batch, query, stage, at);
        residuals[lane] = batch.residuals[stage * batch.blocks() * tile_lanes + at];
        errors[lane] = batch.errors[at];
      }
      std::uint16_t unused = 0;
      active_kernels().sketch_bounds(sums, residuals, errors, 1, with, found);
      active_kernels().sketch_guesses(sums, residuals, 1, with, 0, guessed, &unused);
      std::copy_n(found, here, bounds + begin);
      std::copy_n(guessed, here, guesses + begin);
    }
  });
}

}  // namespace learndock
