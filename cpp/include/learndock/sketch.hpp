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
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// Stored sketches of a batch of embeddings. Does not own its arrays; lanes after the last embedding hold anything.
struct Sketches {
  /// [block][coordinates of the first stage][tile_lanes], which passes over all of them read; then, of each further
  /// stage, [blocks * tile_lanes][coordinates of the stage]: what is looked at there is few and far between.
  const std::int8_t* codes = nullptr;
  const float* residuals = nullptr;  ///< [stage][blocks * tile_lanes]
  const float* errors = nullptr;     ///< [blocks * tile_lanes] of the distance
  Index count = 0;

  Index blocks() const { return tile_count(count); }
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

  /// Sketches of all embeddings of a batch; self_inner = <P, P>. `codes`, `residuals` and `errors` as in Sketches.
  void encode(const PackedEmbeddings<float>& batch, const double* self_inner, ThreadTeam& team, std::int8_t* codes,
              float* residuals, float* errors, const Also& also = {}) const;

  SketchQuery query(const Embedding& embedding, double self_inner, ThreadTeam& team) const;

 private:
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

/// Several batches of sketches, and what is asked of them. `hidden` has, for each query, [total] nonzero where a sketch
/// may not be returned, or null.
struct SketchSearch {
  const SketchMap& map;
  const std::vector<Sketches>& batches;
  const std::vector<const SketchQuery*>& queries;
  const std::vector<const std::uint8_t*>& hidden;
};

/// Lanes of all batches: how many bounds of the first stage there are for one query.
Index padded_total(const std::vector<Sketches>& batches);

/// Places with the smallest guesses by the first stage, `count` for each query, ascending by (guess, place); -1 where
/// there are fewer. A guess of MMD^2 is ||c_P - c_Q||^2 + r_P^2 + r_Q^2 - 2 correlation r_P r_Q. Leaves the lower
/// bounds of the first stage in bounds [queries * padded_total], for sketches_within: the upper halves of their bits,
/// which are bounds too and half to be written and read.
void promising_sketches(const SketchSearch& search, float correlation, Index count, ThreadTeam& team,
                        std::int16_t* bounds, Index* places);

/// Places of sketches, ascending, and their lower bounds by the first stage.
struct SketchesWithin {
  std::vector<Index> places;
  std::vector<float> bounds;
};

/// Those whose lower bound in `bounds` is at most the query's reach, for each query.
std::vector<SketchesWithin> sketches_within(const SketchSearch& search, const std::int16_t* bounds, const float* reach,
                                            ThreadTeam& team);

/// ||c_P - c_Q||^2 by the coordinates of the first stage, for the embeddings of one block.
void first_distances(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index block,
                     float* distances);

/// What the stages after the first, up to the given one, add to it for one embedding.
float further_distance(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index stage, Index at);

/// Lower bounds of MMD^2 and guesses of it, by the stages up to the given one, for chosen places.
void refined_bounds(const SketchMap& map, const std::vector<Sketches>& batches, const SketchQuery& query,
                    float correlation, Index stage, const Index* chosen, Index chosen_count, ThreadTeam& team,
                    float* bounds, float* guesses);

}  // namespace learndock
