// SPDX-License-Identifier: Apache-2.0
#include "learndock/coarse_sums.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "embedding_runs.hpp"
#include "learndock/instruction_set.hpp"
#include "query_groups.hpp"

namespace learndock {

namespace {

constexpr double log2_e = 1.4426950408889634074;
constexpr double unit_roundoff = 1.0 / (1 << 24);

/// As for float32: the bound on float32's part of the error grows with it, and so does the error of a rounded row.
constexpr double group_radius = 4.0;

/// Largest sqrt(gamma) times error of a rounded row for which the bound of the header holds.
constexpr double largest_row_delta = 0.002;

/// Below, the rounding of the points costs as much as it saves; measured on AMD Zen 5 with K = 64 and 100, by AVX2 and
/// AVX-512.
constexpr Index fewest_dims = 16;
constexpr Index fewest_rows_a_group = 16;

/// Rows of less weight than 2^-30 of the largest are bounded by the weight itself.
constexpr double lightest_log = -30;

void require_possible(const CoarseQuery& query) {
  if (!query.possible()) throw std::invalid_argument("queries: no coarse pass for them on this machine");
}

}  // namespace

CoarseQuery::CoarseQuery(const Embedding& query, double gamma) : dim_(query.dim), gamma_(gamma) {
  for (const QueryGroup& group : query_groups(query, gamma, group_radius)) add_group(query, group);
}

void CoarseQuery::add_group(const Embedding& query, const QueryGroup& group) {
  const Index count = group.count(), pairs = (dim_ + 1) / 2;
  double largest_coordinate = 0;
  for (double x : group.shifted) largest_coordinate = std::max(largest_coordinate, std::abs(x));
  const double largest_norm = std::sqrt(*std::max_element(group.norms.begin(), group.norms.end()));
  double unit = std::max(largest_norm / integer_row_norm, largest_coordinate / integer_most_coordinate);
  if (unit == 0) unit = 1;                    // all rows lie at the centre
  const bool in_range = std::isfinite(unit);  // else the rows' errors are infinite, and nothing is known

  const Index first = static_cast<Index>(rows_.size());
  rows_.resize(first + count * pairs);
  double floor = std::ldexp(group.scale, -124) * static_cast<double>(count) + std::ldexp(1.0, -148);
  double largest_log = 0, largest_error = 0, magnitude = 0;
  for (Index i = 0; i < count; ++i) {
    const BlockPlace place(i, count, pairs);
    double norm = 0, error = 0;
    const double* x = group.shifted.data() + i * dim_;
    const auto rounded = [&](Index k) {
      if (k == dim_) return std::int32_t{0};
      const double steps = in_range ? std::nearbyint(x[k] / unit) : 0;
      norm += steps * steps;
      error += (x[k] - steps * unit) * (x[k] - steps * unit);
      return static_cast<std::int32_t>(steps);
    };
    for (Index pair = 0; pair < pairs; ++pair) {
      const std::int32_t low = rounded(2 * pair), high = rounded(2 * pair + 1);
      rows_[first + place.first + pair * place.stride] = static_cast<std::int32_t>(
          (static_cast<std::uint32_t>(high) << 16) | (static_cast<std::uint32_t>(low) & 0xffffu));
    }
    largest_error = std::max(largest_error, error);
    const double weight = std::abs(query.weights[group.rows[i]]) / group.scale;
    magnitude += weight;
    const double log = log_weight(weight * group.scale, group.scale);
    row_terms_.push_back(static_cast<float>(log - gamma_ * log2_e * norm * unit * unit));
    const double log_error = unit_roundoff * 5 * std::abs(log) / log2_e;
    if (log >= lightest_log)
      largest_log = std::max(largest_log, log_error);
    else
      floor += weight * group.scale * log_error;
  }
  for (double c : group.centre) centres_.push_back(static_cast<float>(c));
  signs_.push_back(static_cast<float>(group.sign));
  scales_.push_back(static_cast<float>(group.scale));
  factors_.push_back(static_cast<float>(2 * gamma_ * log2_e * unit));
  magnitudes_.push_back(static_cast<float>(magnitude));
  const double row_delta = std::sqrt(gamma_ * largest_error);
  row_deltas_.push_back(static_cast<float>(row_delta * (1 + 1e-6)));
  error_terms_.push_back(
      static_cast<float>(unit_roundoff * (16 * group.radius + static_cast<double>(count) + 36) + largest_log));
  // Where the bound's conditions fail, it says that nothing is known.
  const double scale = gamma_ * log2_e;
  const bool holds = scale >= 1e-30 && scale <= 1e30 && row_delta <= largest_row_delta && group.radius <= group_radius;
  error_floors_.push_back(holds ? static_cast<float>(floor) : std::numeric_limits<float>::infinity());
  group_begin_.push_back(group_begin_.back() + count);
}

void CoarseQuery::embed(const PointTiles& tiles, std::int32_t* pairs, float* values, float* errors) const {
  IntegerRows rows;
  rows.dim = dim_;
  rows.group_count = static_cast<Index>(signs_.size());
  rows.group_begin = group_begin_.data();
  rows.centres = centres_.data();
  rows.signs = signs_.data();
  rows.scales = scales_.data();
  rows.factors = factors_.data();
  rows.magnitudes = magnitudes_.data();
  rows.row_deltas = row_deltas_.data();
  rows.error_terms = error_terms_.data();
  rows.error_floors = error_floors_.data();
  rows.rows = rows_.data();
  rows.row_terms = row_terms_.data();
  rows.gamma = static_cast<float>(gamma_);
  rows.exponent_scale = static_cast<float>(gamma_ * log2_e);
  // Half a step a coordinate, and a hundredth for the roundings of the scale.
  rows.unit_delta = static_cast<float>(std::sqrt(gamma_ * static_cast<double>(dim_)) * 0.51);
  rows.error_slope = static_cast<float>(unit_roundoff * 16 * gamma_);
  active_kernels().embed_integers(rows, tiles, pairs, values, errors);
}

bool CoarseQuery::possible() const { return active_kernels().embed_integers && dim_ <= integer_most_dim; }

bool CoarseQuery::pays() const {
  const Index groups = static_cast<Index>(signs_.size());
  return possible() && dim_ >= fewest_dims && row_count() >= fewest_rows_a_group * groups;
}

void inner_products(const std::vector<const CoarseQuery*>& queries, const PackedEmbeddings<float>& batch,
                    ThreadTeam& team, double* products, double* errors) {
  for (const CoarseQuery* query : queries) require_possible(*query);
  bounded_inner_products(queries, batch, team, products, errors);
}

void chosen_inner_products(const CoarseQuery& query, const std::vector<PackedEmbeddings<float>>& batches,
                           const std::vector<EmbeddingPlace>& chosen, ThreadTeam& team, double* products,
                           double* errors) {
  require_possible(query);
  bounded_chosen_products(query, batches, chosen, team, products, errors);
}

}  // namespace learndock
