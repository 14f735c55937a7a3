// SPDX-License-Identifier: Apache-2.0
#include "learndock/kernel_sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "embedding_runs.hpp"
#include "learndock/instruction_set.hpp"
#include "query_groups.hpp"

namespace learndock {

namespace {

constexpr double log2_e = 1.4426950408889634074;
constexpr double unit_roundoff = 1.0 / (1 << 24);

/// Largest gamma ||x - centre||^2 in a group of rows: near points then have exponents of a few units, and float32 is
/// right to 3e-7 (measured). A group costs two operations a stored number, as much as two rows.
constexpr double group_radius = 4.0;

/// Rows whose weight is under 2^-30 of the largest in their group are bounded by the weight itself: the bound on a
/// kernel value grows with the logarithm of the weight, which rides in the exponent.
constexpr double lightest_log = -30;

/// Error of an exponent, to first order, per unit of gamma (||x||^2 + ||y||^2).
double product_error(Index dim) {
  constexpr double split = 3.0 / (1 << 16);
  return unit_roundoff * 3 * static_cast<double>(dim + 4) +
         (active_kernels().splits_rows ? split + unit_roundoff * 6 * static_cast<double>(dim) : 0.0);
}

/// A number as the sum of two of bfloat16, each the bits of a float whose lower half is 0.
struct Split {
  std::uint32_t high, low;

  explicit Split(float x) : high(rounded(x)) {
    float value;
    std::memcpy(&value, &high, sizeof value);
    low = rounded(x - value);
  }

 private:
  static std::uint32_t rounded(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return (bits + 0x8000u) & 0xffff0000u;
  }
};

}  // namespace

PreparedQuery::PreparedQuery(const Embedding& query, double gamma)
    : dim_(query.dim),
      exponent_scale_(static_cast<float>(gamma * log2_e)),
      error_slope_(static_cast<float>(gamma * product_error(query.dim))) {
  for (const QueryGroup& group : query_groups(query, gamma, group_radius)) add_group(query, group, gamma);
}

void PreparedQuery::add_group(const Embedding& query, const QueryGroup& group, double gamma) {
  const Index count = group.count();
  const Index first = static_cast<Index>(rows_.size());
  const bool splits = active_kernels().splits_rows;
  if (splits)
    add_split_rows(group, gamma);
  else
    rows_.resize(first + count * dim_);
  // exp2 ends at 2^-126, the sum times the scale at 2^-149.
  double floor = std::ldexp(group.scale, -124) * static_cast<double>(count) + std::ldexp(1.0, -148);
  double largest_log = 0;
  float least_term = std::numeric_limits<float>::infinity();
  for (Index i = 0; i < count; ++i) {
    const double* x = group.shifted.data() + i * dim_;
    if (!splits) {
      const BlockPlace place(i, count, dim_);
      float* to = rows_.data() + first + place.first;
      for (Index k = 0; k < dim_; ++k) to[k * place.stride] = static_cast<float>(2 * gamma * log2_e * x[k]);
    }
    const double weight = std::abs(query.weights[group.rows[i]]);
    const double log = log_weight(weight, group.scale);
    row_terms_.push_back(static_cast<float>(log - gamma * log2_e * group.norms[i]));
    least_term = std::min(least_term, row_terms_.back());
    const double log_error = unit_roundoff * static_cast<double>(dim_ + 4) * std::abs(log) / log2_e;
    if (log >= lightest_log)
      largest_log = std::max(largest_log, log_error);
    else
      floor += weight * log_error;
  }
  least_terms_.push_back(least_term);
  row_reaches_.push_back(static_cast<float>(2 * log2_e * std::sqrt(gamma * group.radius) * (1 + 1e-5)));
  for (double c : group.centre) centres_.push_back(static_cast<float>(c));
  signs_.push_back(static_cast<float>(group.sign));
  scales_.push_back(static_cast<float>(group.scale));
  const double fixed = product_error(dim_) * group.radius + unit_roundoff * (static_cast<double>(count) + 20);
  error_terms_.push_back(static_cast<float>(fixed + largest_log));
  // A gamma for which float32 can't hold squares near 1 / gamma: the bound says that nothing is known.
  const bool in_range = exponent_scale_ >= 1e-30f && exponent_scale_ <= 1e30f;
  error_floors_.push_back(in_range ? static_cast<float>(floor) : std::numeric_limits<float>::infinity());
  group_begin_.push_back(group_begin_.back() + count);
}

/// In blocks of 16 rows, each number as two of bfloat16: [high, high, low].
void PreparedQuery::add_split_rows(const QueryGroup& group, double gamma) {
  constexpr Index block_rows = 16, step_pairs = 16;
  const Index count = group.count(), steps = split_steps(dim_), pairs = (dim_ + 1) / 2;
  const Index first = static_cast<Index>(split_rows_.size());
  split_rows_.resize(first + count * steps * step_pairs);
  for (Index i = 0; i < count; ++i) {
    const Index block = i / block_rows, rows = std::min(block_rows, count - block * block_rows);
    const auto put = [&](Index pair, std::uint32_t both) {
      const Index at = block * block_rows * steps + pair / step_pairs * rows + i % block_rows;
      split_rows_[first + at * step_pairs + pair % step_pairs] = both;
    };
    const auto scaled = [&](Index k) {
      return k < dim_ ? static_cast<float>(2 * gamma * log2_e * group.shifted[i * dim_ + k]) : 0.0f;
    };
    for (Index pair = 0; pair < pairs; ++pair) {
      const Split low(scaled(2 * pair)), high(scaled(2 * pair + 1));
      put(pair, low.high >> 16 | high.high);
      put(pairs + pair, low.high >> 16 | high.high);
      put(2 * pairs + pair, low.low >> 16 | high.low);
    }
  }
}

void PreparedQuery::embed(const PointTiles& tiles, float* shifted, float* values, float* errors) const {
  QueryRows rows;
  rows.dim = dim_;
  rows.group_count = group_count();
  rows.group_begin = group_begin_.data();
  rows.centres = centres_.data();
  rows.signs = signs_.data();
  rows.error_terms = error_terms_.data();
  rows.error_floors = error_floors_.data();
  rows.rows = rows_.data();
  rows.split_rows = split_rows_.data();
  rows.row_terms = row_terms_.data();
  rows.least_terms = least_terms_.data();
  rows.row_reaches = row_reaches_.data();
  rows.scales = scales_.data();
  rows.exponent_scale = exponent_scale_;
  rows.error_slope = error_slope_;
  active_kernels().embed_float(rows, tiles, shifted, values, errors);
}

void inner_products(const std::vector<const PreparedQuery*>& queries, const PackedEmbeddings<float>& batch,
                    ThreadTeam& team, double* products, double* errors) {
  bounded_inner_products(queries, batch, team, products, errors);
}

void chosen_inner_products(const PreparedQuery& query, const std::vector<PackedEmbeddings<float>>& batches,
                           const std::vector<EmbeddingPlace>& chosen, ThreadTeam& team, double* products,
                           double* errors) {
  bounded_chosen_products(query, batches, chosen, team, products, errors);
}

template <class Scalar>
void inner_products(const std::vector<Embedding>& queries, const PackedEmbeddings<Scalar>& batch, double gamma,
                    ThreadTeam& team, double* products) {
  Index query_rows = 0;
  for (const Embedding& query : queries) query_rows += query.count;
  std::vector<ExactScratch> scratch(team.size());
  for_each_run(batch, query_rows, team, [&](Index begin, Index end, const TileRange& range, int worker) {
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const double* values = scratch[worker].embed_run(queries[q], batch, begin, end, gamma);
      for (Index i = begin; i < end; ++i)
        products[static_cast<Index>(q) * batch.count + i] = weighted_sum(batch, i, values, range.first_point());
    }
  });
}

void chosen_inner_products(const std::vector<Embedding>& queries, const std::vector<PackedEmbeddings<float>>& batches,
                           const Index* asking, const std::vector<EmbeddingPlace>& chosen, double gamma,
                           ThreadTeam& team, double* products) {
  const auto count = static_cast<Index>(chosen.size());
  std::vector<ExactScratch> scratch(team.size());
  team.for_each(count, [&](Index i, int worker) {
    if (i + 1 < count) fetch_ahead(batches[chosen[i + 1].batch], chosen[i + 1].index);
    const EmbeddingPlace& place = chosen[i];
    products[i] = scratch[worker].inner_product(queries[asking[i]], batches[place.batch], place.index, gamma);
  });
}

template <class Scalar>
void self_inner_products(const PackedEmbeddings<Scalar>& batch, double gamma, ThreadTeam& team, double* products) {
  const Index mean_rows = batch.count > 0 ? batch.point_count() / batch.count : 0;
  std::vector<ExactScratch> scratch(team.size());
  for_each_run(batch, mean_rows, team, [&](Index first, Index last, const TileRange&, int worker) {
    std::vector<double> rows, weights;
    for (Index i = first; i < last; ++i) {
      const Index begin = batch.offsets[i], end = batch.offsets[i + 1];
      rows.resize((end - begin) * batch.dim);
      unpack_points(batch.tiles, batch.dim, begin, end, rows.data());
      weights.assign(batch.weights + begin, batch.weights + end);
      const Embedding embedding{rows.data(), weights.data(), end - begin, batch.dim};
      products[i] = scratch[worker].inner_product(embedding, batch, i, gamma);
    }
  });
}

void embed_points(const Embedding& embedding, const double* points, Index point_count, double gamma, ThreadTeam& team,
                  double* values) {
  constexpr Index chunk_tiles = 16;
  const Index chunks = (tile_count(point_count) + chunk_tiles - 1) / chunk_tiles;
  std::vector<ExactScratch> scratch(team.size());
  team.for_each(chunks, [&](Index chunk, int worker) {
    const Index begin = chunk * chunk_tiles * tile_lanes;
    const Index end = std::min(point_count, begin + chunk_tiles * tile_lanes);
    ExactScratch& own = scratch[worker];
    double* packed = own.widened.reserve(tile_count(end - begin) * embedding.dim * tile_lanes);
    double* found = own.values.reserve(tile_count(end - begin) * tile_lanes);
    pack_points(points + begin * embedding.dim, end - begin, embedding.dim, packed);
    active_kernels().embed_double(embedding, gamma, packed, 0, end - begin, found);
    std::copy_n(found, end - begin, values + begin);
  });
}

template void inner_products(const std::vector<Embedding>&, const PackedEmbeddings<float>&, double, ThreadTeam&,
                             double*);
template void inner_products(const std::vector<Embedding>&, const PackedEmbeddings<double>&, double, ThreadTeam&,
                             double*);
template void self_inner_products(const PackedEmbeddings<float>&, double, ThreadTeam&, double*);
template void self_inner_products(const PackedEmbeddings<double>&, double, ThreadTeam&, double*);

}  // namespace learndock
