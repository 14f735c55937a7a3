// SPDX-License-Identifier: Apache-2.0
#include "learndock/residual_features.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "chosen_lanes.hpp"
#include "embedding_runs.hpp"
#include "learndock/instruction_set.hpp"
#include "learndock/sketch_search.hpp"

namespace learndock {

namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double float_roundoff = 0x1p-24;
constexpr double quarter_turn = 1.5707963267948966192;
constexpr int largest_code = 127;
// In quarter turns. A phase is known to 2^-52 of it, and times dim at worst: beyond, a wave's error could matter.
constexpr double longest_phase = 1e8;
constexpr double largest_bound = 3e38;

constexpr Index landmarks_together = 256;
constexpr Index chosen_together = 256;

/// What is known of one stored embedding and the one who asks.
struct Comparison {
  double distance2;  ///< ||c_D||^2
  double estimate;   ///< of ||c_D||^2 + ||(I - T) D||^2
  double sigma;
  double slack;  ///< of all that is not chance
};

/// compare(i, comparison) for all i below chosen_count.
template <class Compare>
void for_each_chosen(const FeatureSearch& search, const Index* chosen, Index chosen_count, ThreadTeam& team,
                     const Compare& compare) {
  const ChosenLanes lanes(search.batches, chosen, chosen_count);
  const FeatureQuery& query = search.query;
  const SketchMap& map = search.features.map();
  const Index last_stage = static_cast<Index>(map.stages().size()) - 1;
  const Index frequencies = search.features.frequency_count();
  const auto count = static_cast<double>(frequencies);
  const double rounding = static_cast<double>(map.coordinates() + 64) * 2 * float_roundoff;
  team.for_each((chosen_count + chosen_together - 1) / chosen_together, [&](Index chunk, int) {
    std::pair<Index, Index> known(-1, -1);
    alignas(64) float sums[tile_lanes], products[tile_lanes], squares[tile_lanes];
    for (Index i = chunk * chosen_together; i < std::min(chosen_count, (chunk + 1) * chosen_together); ++i) {
      const auto [b, at, number] = lanes[i];
      const Sketches& batch = search.batches[b];
      const StoredFeatures& stored = search.stored[b];
      const Index block = at / tile_lanes, lane = at % tile_lanes;
      if (std::pair(b, block) != known) {
        known = {b, block};
        first_distances(map, batch, search.sketch, block, sums);
        active_kernels().feature_products(stored.codes + block * 2 * frequencies * tile_lanes, query.waves.data(),
                                          frequencies, products, squares);
      }
      const Index padded = batch.blocks() * tile_lanes;
      const auto square = static_cast<double>(stored.measures[at]);
      const auto scale = static_cast<double>(stored.measures[padded + at]);
      const auto error = static_cast<double>(stored.measures[2 * padded + at]);
      const auto distance2 =
          static_cast<double>(sums[lane] + further_distance(map, batch, search.sketch, last_stage, at));
      const double apart = static_cast<double>(batch.errors[at]) + static_cast<double>(search.sketch.error);
      Comparison found;
      found.distance2 = distance2;
      found.estimate = distance2 + square + query.square - 2 * scale * static_cast<double>(products[lane]) / count;
      // A rounded number is off by half a scale at most, a complex one by scale / sqrt(2).
      found.sigma = 2 * scale *
                    (std::sqrt(static_cast<double>(squares[lane])) / count + query.norm / std::sqrt(2 * count)) *
                    (1 + rounding + count * float_roundoff);
      found.slack = apart * (2 * std::sqrt(distance2) + apart) + 2 * error * query.norm +
                    rounding * (distance2 + square + query.square);
      compare(number, found);
    }
  });
}

}  // namespace

ResidualFeatures::ResidualFeatures(std::shared_ptr<const SketchMap> map, const double* frequencies,
                                   Index frequency_count, const double* gram)
    : map_(std::move(map)),
      frequency_count_(frequency_count),
      centre_(map_->dim()),
      frequency_tiles_(frequency_count * map_->dim()),
      gram_(gram, gram + map_->coordinates() * map_->coordinates()),
      landmark_waves_(map_->coordinates() * 2 * frequency_count) {
  const Index dim = map_->dim(), landmarks = map_->landmark_count(), coordinates = map_->coordinates();
  std::vector<double> turns(frequencies, frequencies + frequency_count * dim);
  for (double& turn : turns) turn /= quarter_turn;
  pack_points(turns.data(), frequency_count, dim, frequency_tiles_.data());
  for (Index j = 0; j < frequency_count; ++j) {
    double squares = 0;
    for (Index k = 0; k < dim; ++k) squares += turns[j * dim + k] * turns[j * dim + k];
    longest_frequency_ = std::max(longest_frequency_, std::sqrt(squares));
  }
  // Phases are differences from the centre, so that no digit is lost to an offset; the products do not change.
  for (Index l = 0; l < landmarks; ++l)
    for (Index k = 0; k < dim; ++k) centre_[k] += map_->landmarks()[l * dim + k] / static_cast<double>(landmarks);
  double squares = 0;
  for (Index i = 0; i < coordinates; ++i)
    for (Index j = 0; j < coordinates; ++j) {
      const double entry = (i == j ? 1.0 : 0.0) - gram_[i * coordinates + j];
      squares += entry * entry;
    }
  looseness_ = std::sqrt(squares);

  Eigen::Map<RowMajor> waves(landmark_waves_.data(), coordinates, width());
  waves.setZero();
  const Eigen::Map<const RowMajor> all(map_->map().data(), coordinates, landmarks);
  RowMajor each(std::min(landmarks, landmarks_together), width());
  std::vector<double> centred(dim);
  const double one = 1;
  for (Index first = 0; first < landmarks; first += landmarks_together) {
    const Index here = std::min(landmarks_together, landmarks - first);
    for (Index l = 0; l < here; ++l)
      if (!waves_of({map_->landmarks().data() + (first + l) * dim, &one, 1, dim}, centred.data(), each.row(l).data()))
        each.row(l).setConstant(std::numeric_limits<double>::quiet_NaN());
    waves.noalias() += all.middleCols(first, here) * each.topRows(here);
  }
}

bool ResidualFeatures::waves_of(const Embedding& embedding, double* centred, double* waves) const {
  double farthest = 0;
  for (Index i = 0; i < embedding.count; ++i) {
    double squares = 0;
    for (Index k = 0; k < embedding.dim; ++k) {
      double& coordinate = centred[i * embedding.dim + k];
      coordinate = embedding.points[i * embedding.dim + k] - centre_[k];
      squares += coordinate * coordinate;
    }
    farthest = std::max(farthest, squares);
  }
  if (!(std::sqrt(farthest) * longest_frequency_ < longest_phase)) return false;
  active_kernels().wave_sums({centred, embedding.weights, embedding.count, embedding.dim}, frequency_tiles_.data(),
                             frequency_count_ / tile_lanes, waves, waves + frequency_count_);
  return true;
}

double ResidualFeatures::residual_square(const double* coordinates, double self_inner) const {
  const Index m = map_->coordinates();
  const Eigen::Map<const Eigen::VectorXd> c(coordinates, m);
  const Eigen::Map<const RowMajor> gram(gram_.data(), m, m);
  return std::max(0.0, self_inner - 2 * c.squaredNorm() + c.dot(gram * c));
}

void ResidualFeatures::encode(const PackedEmbeddings<float>& batch, const double* self_inner, ThreadTeam& team,
                              const SketchArrays& sketches, std::int8_t* feature_codes, float* measures) const {
  struct Scratch {
    UnpackedRows rows;
    std::vector<double> centred;
    RowMajor waves;
  };
  const Index padded = tile_count(batch.count) * tile_lanes, m = map_->coordinates();
  const Eigen::Map<const RowMajor> landmark_waves(landmark_waves_.data(), m, width());
  std::vector<Scratch> scratch(team.size());
  const auto also = [&](Index first, Index here, const double* coordinates, int worker) {
    Scratch& own = scratch[worker];
    std::int8_t* to = feature_codes + first * width();
    std::fill_n(to, tile_lanes * width(), std::int8_t{0});
    own.waves.resize(here, width());
    for (Index lane = 0; lane < here; ++lane) {
      const Embedding embedding = own.rows.of(batch, first + lane);
      own.centred.resize(embedding.count * embedding.dim);
      if (!waves_of(embedding, own.centred.data(), own.waves.row(lane).data()))
        own.waves.row(lane).setConstant(std::numeric_limits<double>::quiet_NaN());
    }
    own.waves.noalias() -= Eigen::Map<const RowMajor>(coordinates, here, m) * landmark_waves;
    for (Index lane = 0; lane < tile_lanes; ++lane) {
      float* of = measures + first + lane;
      of[0] = of[padded] = of[2 * padded] = 0;
      if (lane >= here) continue;
      const double* waves = own.waves.row(lane).data();
      const double square = residual_square(coordinates + lane * m, self_inner[first + lane]);
      double largest = 0;
      bool finite = std::isfinite(square);
      for (Index i = 0; i < width(); ++i) {
        finite = finite && std::isfinite(waves[i]);
        largest = std::max(largest, std::abs(waves[i]));
      }
      if (!finite || !std::isfinite(static_cast<float>(square)) || !std::isfinite(static_cast<float>(largest))) {
        // The bound says that nothing is known.
        of[2 * padded] = std::numeric_limits<float>::infinity();
        continue;
      }
      // No step is so short that float32 could not hold it.
      const float scale = std::max(static_cast<float>(largest / largest_code), 1e-30f);
      double rest = 0, norm = 0;
      for (Index i = 0; i < width(); ++i) {
        const double steps = std::nearbyint(waves[i] / static_cast<double>(scale));
        const auto code = static_cast<std::int8_t>(std::clamp<double>(steps, -largest_code, largest_code));
        const Index frequency = i % frequency_count_, half = i / frequency_count_;
        to[(2 * frequency + half) * tile_lanes + lane] = code;
        const double stored = static_cast<double>(scale) * code;
        rest += (waves[i] - stored) * (waves[i] - stored);
        norm += stored * stored;
      }
      const auto count = static_cast<double>(frequency_count_);
      const double rounding = (count + 8) * 2 * float_roundoff;
      of[0] = static_cast<float>(square);
      of[padded] = scale;
      of[2 * padded] =
          static_cast<float>((std::sqrt(rest / count) + rounding * std::sqrt(norm / count)) * (1 + 4 * float_roundoff));
    }
  };
  map_->encode(batch, self_inner, team, sketches, also);
  arrange_features(sketches.order, batch.count, feature_codes, measures);
}

void ResidualFeatures::arrange_features(const std::int32_t* order, Index count, std::int8_t* codes,
                                        float* measures) const {
  const Index padded = tile_count(count) * tile_lanes;
  const std::vector<std::int8_t> unordered(codes, codes + padded * width());
  const std::vector<float> unordered_measures(measures, measures + 3 * padded);
  for (Index lane = 0; lane < count; ++lane) {
    const Index from = order[lane];
    const auto of = [this](Index at) { return at / tile_lanes * width() * tile_lanes + at % tile_lanes; };
    for (Index i = 0; i < width(); ++i) codes[of(lane) + i * tile_lanes] = unordered[of(from) + i * tile_lanes];
    for (Index m = 0; m < 3; ++m) measures[m * padded + lane] = unordered_measures[m * padded + from];
  }
}

FeatureQuery ResidualFeatures::query(const Embedding& embedding, const SketchQuery& sketch, double self_inner) const {
  const Index m = map_->coordinates();
  Eigen::RowVectorXd waves(width());
  std::vector<double> centred(embedding.count * embedding.dim);
  FeatureQuery query;
  query.waves.resize(2 * frequency_count_);
  query.norm = infinity;
  query.square = residual_square(sketch.exact.data(), self_inner);
  if (!waves_of(embedding, centred.data(), waves.data())) return query;
  waves.noalias() -= Eigen::Map<const Eigen::RowVectorXd>(sketch.exact.data(), m) *
                     Eigen::Map<const RowMajor>(landmark_waves_.data(), m, width());
  const double squares = waves.squaredNorm();
  if (!std::isfinite(query.square) || !std::isfinite(static_cast<float>(squares))) return query;
  query.norm = std::sqrt(squares / static_cast<double>(frequency_count_));
  for (Index j = 0; j < frequency_count_; ++j) {
    query.waves[2 * j] = static_cast<float>(waves[j]);
    query.waves[2 * j + 1] = static_cast<float>(waves[frequency_count_ + j]);
  }
  return query;
}

void chance_bounds(const FeatureSearch& search, double deviations, const Index* chosen, Index chosen_count,
                   ThreadTeam& team, float* bounds) {
  for_each_chosen(search, chosen, chosen_count, team, [&](Index i, const Comparison& found) {
    const double bound = found.estimate - found.slack - deviations * found.sigma;
    // Where nothing is known, it is no number or infinitely far below.
    bounds[i] = bound > 0 ? std::nextafter(static_cast<float>(std::min(bound, largest_bound)), 0.0f) : 0.0f;
  });
}

void deviations_of(const FeatureSearch& search, const Index* chosen, const double* mmd2, Index chosen_count,
                   ThreadTeam& team, double* deviations) {
  const double looseness = search.features.looseness();
  for_each_chosen(search, chosen, chosen_count, team, [&](Index i, const Comparison& found) {
    const double above = mmd2[i] - found.estimate;
    const double beyond = std::abs(above) - found.slack - (above > 0 ? looseness * found.distance2 : 0);
    deviations[i] = beyond > 0 ? (above > 0 ? -beyond : beyond) / found.sigma : 0;
  });
}

}  // namespace learndock
