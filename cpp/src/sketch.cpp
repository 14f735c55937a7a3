// SPDX-License-Identifier: Apache-2.0
#include "learndock/sketch.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "embedding_runs.hpp"
#include "learndock/instruction_set.hpp"
#include "learndock/kernel_sums.hpp"
#include "sketch_order.hpp"

namespace learndock {

namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double double_roundoff = 0x1p-53;
constexpr double float_roundoff = 0x1p-24;
constexpr int largest_code = 127;

// Embeddings whose values are multiplied by the map together.
constexpr Index encoded_together = tile_lanes;

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
                       const SketchArrays& to, const Also& also) const {
  struct Scratch {
    UnpackedRows rows;
    RowMajor values, coordinates;
    double absolute_weights[encoded_together];
  };
  const Index width = coordinates();
  const Eigen::Map<const RowMajor> map(map_.data(), width, landmark_count_);
  const Index padded_landmarks = tile_count(landmark_count_) * tile_lanes;
  std::vector<std::int8_t> codes(batch.count * width);
  std::vector<float> residuals(static_cast<Index>(stages_.size()) * batch.count), errors(batch.count);
  std::vector<Scratch> scratch(team.size());
  team.for_each(tile_count(batch.count), [&](Index block, int worker) {
    Scratch& own = scratch[worker];
    const Index first = block * encoded_together, here = std::min(encoded_together, batch.count - first);
    own.values.resize(encoded_together, padded_landmarks);
    for (Index i = 0; i < here; ++i) {
      const Embedding embedding = own.rows.of(batch, first + i);
      own.absolute_weights[i] = absolute_sum(embedding.weights, embedding.count);
      active_kernels().embed_double(embedding, gamma_, landmark_tiles_.data(), 0, landmark_count_,
                                    own.values.row(i).data());
    }
    own.coordinates.noalias() = own.values.topLeftCorner(here, landmark_count_) * map.transpose();
    if (also) also(first, here, own.coordinates.data(), worker);
    for (Index i = 0; i < here; ++i) {
      const Index at = first + i;
      const double* found = own.coordinates.row(i).data();
      const double stored = round_coordinates(found, codes.data() + at * width);
      errors[at] = finish(found, self_inner[at], own.absolute_weights[i], batch.offsets[at + 1] - batch.offsets[at],
                          stored, residuals.data() + at, batch.count);
    }
  });
  arrange_sketches(*this, {codes.data(), residuals.data(), errors.data(), batch.count}, to);
}

double SketchMap::round_coordinates(const double* coordinates, std::int8_t* codes) const {
  double squares = 0;
  for (Index i = 0; i < this->coordinates(); ++i) {
    const double value = coordinates[i] - offsets_[i], scale = static_cast<double>(scales_[i]);
    const double steps = std::nearbyint(value / scale);
    codes[i] = 0;
    if (steps > largest_code)
      codes[i] = largest_code;
    else if (steps < -largest_code)
      codes[i] = -largest_code;
    else if (steps == steps)
      codes[i] = static_cast<std::int8_t>(steps);
    const double rest = value - scale * codes[i];
    squares += rest * rest;
  }
  return std::sqrt(squares);
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
    active_kernels().embed_double(own.rows.of(batch, i), gamma, packed.data(), 0, point_count, found);
    std::copy_n(found, point_count, values + i * point_count);
  });
}

}  // namespace learndock
