// SPDX-License-Identifier: Apache-2.0
//
// Sketches: a few stored numbers of an embedding that bound its distance to any other from below.
//
// Let Phi map R^D to the kernel's Hilbert space by D landmarks, Phi v = sum_l v_l k(landmark_l, .), and let A be an
// [m, D] matrix with A K A^T <= I, K = Phi^* Phi the landmarks' kernel matrix. The coordinates of an embedding P are
// c_P = A Phi^* P: its values at the landmarks, times A. T = Phi A^T A Phi^* then lies between 0 and I, so that with
// r_P^2 = ||P||^2 - ||c_P||^2 (Cauchy and Schwarz for I - T)
//
//     ||c_P - c_Q||^2 + (r_P - r_Q)^2  <=  MMD^2(P, Q)  <=  ||c_P - c_Q||^2 + (r_P + r_Q)^2,
//
// and so for any prefix of the coordinates with the residual of that prefix: a stage. Stored are the coordinates in 8
// bits with an offset and a scale each, a float32 residual for each stage, and a bound on the error of all of it as a
// distance: what is stored is another point of R^(m+1), so the triangle inequality takes the errors off the distance.
// The errors hold every rounding, that of the float64 distances which searches compare with included.
//
// Sketches that are near each other are stored next to each other, sixteen to a block. A block's ball has a centre,
// which is stored as a sketch is, and a radius that reaches every point of R^(m+1) in it with its error: by the
// triangle inequality once more, the bound of a ball is that of a sketch whose error is the radius, and holds for all
// in it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// Stored sketches of a batch of embeddings, in lanes of an order of their own. Does not own its arrays; lanes after
/// the last embedding hold anything.
struct Sketches {
  /// [block][coordinates of the first stage][tile_lanes], which are compared together; then, of each further
  /// stage, [blocks * tile_lanes][coordinates of the stage]: what is looked at there is few and far between.
  const std::int8_t* codes = nullptr;
  const float* residuals = nullptr;         ///< [stage][blocks * tile_lanes]
  const float* errors = nullptr;            ///< [blocks * tile_lanes] of the distance
  const std::int32_t* order = nullptr;      ///< [count] the embedding of each lane
  const std::int32_t* lanes = nullptr;      ///< [count] the lane of each embedding
  const std::int8_t* ball_codes = nullptr;  ///< of a centre for each block, [ball block][coordinates][tile_lanes]
  const float* balls = nullptr;             ///< [2][ball_blocks * tile_lanes]: residual of the centre, and radius
  Index count = 0;

  Index blocks() const { return tile_count(count); }
  Index ball_blocks() const { return tile_count(blocks()); }
  Index ball_lanes() const { return ball_blocks() * tile_lanes; }
};

/// Where the sketches of a batch are written to, as in Sketches.
struct SketchArrays {
  std::int8_t* codes;
  float* residuals;
  float* errors;
  std::int32_t* order;
  std::int8_t* ball_codes;
  float* balls;
};

/// The sketch of one embedding that asks: its coordinates in float32.
struct SketchQuery {
  std::vector<float> coordinates;  ///< less the offsets
  std::vector<float> residuals;    ///< of each stage
  std::vector<double> exact;       ///< the coordinates, before any rounding
  float error = 0;
};

/// The map from embeddings to sketches.
class SketchMap {
 public:
  /// landmarks [landmark_count, dim] row-major, map [coordinates, landmark_count]; stages are increasing prefix
  /// lengths, the last one all coordinates.
  SketchMap(const double* landmarks, Index landmark_count, Index dim, double gamma, const double* map,
            const double* offsets, const float* scales, std::vector<Index> stages);

  Index dim() const { return dim_; }
  Index landmark_count() const { return landmark_count_; }
  Index coordinates() const { return stages_.back(); }
  const std::vector<double>& landmarks() const { return landmarks_; }
  const std::vector<double>& map() const { return map_; }
  const std::vector<Index>& stages() const { return stages_; }
  const std::vector<float>& scales() const { return scales_; }

  /// The first coordinate of a stage that those before lack.
  Index stage_begin(Index stage) const { return stage == 0 ? 0 : stages_[stage - 1]; }

  /// Told the coordinates [count, coordinates] of the embeddings first .. first + count - 1 of a block.
  using Also = std::function<void(Index first, Index count, const double* coordinates, int worker)>;

  /// Sketches of all embeddings of a batch; self_inner = <P, P>.
  void encode(const PackedEmbeddings<float>& batch, const double* self_inner, ThreadTeam& team, const SketchArrays& to,
              const Also& also = {}) const;

  SketchQuery query(const Embedding& embedding, double self_inner, ThreadTeam& team) const;

 private:
  /// The nearest codes of coordinates, and how far off they are together.
  double round_coordinates(const double* coordinates, std::int8_t* codes) const;

  /// Residuals and error of coordinates that are stored with an error of `stored`.
  float finish(const double* coordinates, double self_inner, double absolute_weight, Index count, double stored,
               float* residuals, Index residual_stride) const;

  Index dim_, landmark_count_;
  double gamma_;
  double map_norm_ = 0;
  std::vector<double> landmarks_, landmark_tiles_, map_, offsets_;
  std::vector<float> scales_;
  std::vector<Index> stages_;
};

/// The values of all embeddings of a batch at points: values[i, l] = mu_i(point_l), [batch.count, point_count].
void values_at_points(const PackedEmbeddings<float>& batch, const double* points, Index point_count, double gamma,
                      ThreadTeam& team, double* values);

}  // namespace learndock
