// SPDX-License-Identifier: Apache-2.0
//
// Random features of what a sketch leaves of an embedding: bounds of MMD that hold with a chance, where none that is
// proven helps.
//
// With c_P, A, Phi, G = A K A^T and T = Phi A^T A Phi^* of learndock/sketch.hpp, the residual element of P is
// P - T P = P - sum_l a_l k(landmark_l, .), a = A^T c_P, and since 0 <= I - T <= I, for D = P - Q
//
//     MMD^2 = ||c_D||^2 + <D, (I - T) D>  >=  ||c_D||^2 + ||(I - T) D||^2;
//
// they differ by c_D^T (I - G) c_D <= ||I - G|| ||c_D||^2, the jitter of the whitening. The right-hand side is
// ||c_D||^2 + n_P^2 + n_Q^2 - 2 <(I - T) P, (I - T) Q>, where n_P^2 = ||P||^2 - 2 ||c_P||^2 + c_P^T G c_P is known. The
// inner product is estimated by M frequencies w_j ~ N(0, 2 gamma I) (Rahimi and Recht, NeurIPS 2007): with
//
//     f_P[j] = sum_i b_i exp(i <w_j, z_i>) - sum_l a_l exp(i <w_j, landmark_l>),
//
// x[j] = Re f_P[j] conj(f_Q[j]) has that expectation, so the mean over j is off by about sigma = (mean x^2 / M)^1/2 at
// most, and normally distributed as far as the central limit theorem goes: the second moment of the pair's own terms is
// at least their variance, and up to twice it where P and Q are near. Stored are 2M numbers in 8 bits with a scale for
// each embedding; the errors of that are taken off the bound.
//
// Cost of a comparison: 2M bytes read, 6 M flops. Of an embedding: K M sines and cosines, and 2 M m flops.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "learndock/sketch.hpp"

namespace learndock {

/// Stored features of a batch of embeddings, in the lanes of their sketches. Does not own its arrays; lanes after the
/// last embedding hold anything.
struct StoredFeatures {
  const std::int8_t* codes = nullptr;  ///< [block][frequency][cosine, sine][tile_lanes]
  const float* measures = nullptr;     ///< [3][blocks * tile_lanes]: n_P^2, scale, error
};

/// The features of one embedding that asks.
struct FeatureQuery {
  std::vector<float> waves;  ///< [frequency][cosine, sine]
  double square = 0;         ///< n_Q^2
  double norm = 0;           ///< (mean |f_Q|^2)^1/2, infinite where nothing is known
};

/// The map from embeddings to features of their residuals.
class ResidualFeatures {
 public:
  /// frequencies [frequency_count, dim] row-major, frequency_count a multiple of tile_lanes; gram [m, m] = A K A^T.
  ResidualFeatures(std::shared_ptr<const SketchMap> map, const double* frequencies, Index frequency_count,
                   const double* gram);

  const SketchMap& map() const { return *map_; }
  Index frequency_count() const { return frequency_count_; }
  /// At least ||I - G||.
  double looseness() const { return looseness_; }

  /// Sketches and features of all embeddings of a batch, in one go; as SketchMap::encode, and as in StoredFeatures.
  void encode(const PackedEmbeddings<float>& batch, const double* self_inner, ThreadTeam& team,
              const SketchArrays& sketches, std::int8_t* feature_codes, float* measures) const;

  /// `sketch` is that of the embedding.
  FeatureQuery query(const Embedding& embedding, const SketchQuery& sketch, double self_inner) const;

 private:
  /// Embedding less its share of the landmarks; false where phases are too long for float64.
  bool waves_of(const Embedding& embedding, double* centred, double* waves) const;
  double residual_square(const double* coordinates, double self_inner) const;

  /// Puts features that lie as the embeddings do in the lanes of an order.
  void arrange_features(const std::int32_t* order, Index count, std::int8_t* codes, float* measures) const;
  Index width() const { return 2 * frequency_count_; }

  std::shared_ptr<const SketchMap> map_;
  Index frequency_count_;
  std::vector<double> centre_, frequency_tiles_, gram_, landmark_waves_;  ///< the last [m, 2M] = A exp(i <w, landmark>)
  double longest_frequency_ = 0, looseness_ = 0;
};

/// Sketches with their features, and the one who asks.
struct FeatureSearch {
  const ResidualFeatures& features;
  const std::vector<Sketches>& batches;
  const std::vector<StoredFeatures>& stored;
  const SketchQuery& sketch;
  const FeatureQuery& query;
};

/// Lower bounds of MMD^2 for chosen places, each true but for a deviation of more than `deviations` sigma.
void chance_bounds(const FeatureSearch& search, double deviations, const Index* chosen, Index chosen_count,
                   ThreadTeam& team, float* bounds);

/// By how many sigma the true MMD^2 of chosen places are off the estimates, beyond what the known errors explain;
/// positive where an estimate is too high, so that a bound may be.
void deviations_of(const FeatureSearch& search, const Index* chosen, const double* mmd2, Index chosen_count,
                   ThreadTeam& team, double* deviations);

}  // namespace learndock
