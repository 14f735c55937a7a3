// SPDX-License-Identifier: Apache-2.0
#include "learndock/kernel_sums.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learndock/instruction_set.hpp"

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

/// Points a chunk of work covers: enough to make the shared tiles at its ends cheap, few enough to balance threads.
constexpr Index most_chunk_points = 4096;
constexpr Index fewest_chunk_points = 256;
/// Multiplications in a chunk, where many query rows would make it longer than a user waits after Ctrl-C.
constexpr Index most_chunk_work = Index{1} << 29;

/// Runs of whole embeddings for one chunk of work each. Depends on batch and queries alone, not on the threads.
std::vector<Index> chunk_bounds(const Index* offsets, Index count, Index query_rows, Index dim) {
  const Index chunk_points = std::min(
      most_chunk_points, std::max(fewest_chunk_points, most_chunk_work / std::max(query_rows * dim, Index{1})));
  std::vector<Index> bounds{0};
  for (Index i = 1; i <= count; ++i)
    if (i == count || offsets[i] - offsets[bounds.back()] >= chunk_points) bounds.push_back(i);
  return bounds;
}

/// The tiles that hold the points begin .. end - 1.
struct TileRange {
  Index first;
  Index count;
  TileRange(Index begin, Index end) : first(begin / tile_lanes), count(end > begin ? tile_count(end) - first : 0) {}
  Index first_point() const { return first * tile_lanes; }
  Index points() const { return count * tile_lanes; }
};

/// sum_p weights[p] values[p] over the points of one embedding, in float64; values begin at point `first`.
template <class Scalar, class Value>
double weighted_sum(const PackedEmbeddings<Scalar>& batch, Index embedding, const Value* values, Index first) {
  double sum = 0;
  for (Index p = batch.offsets[embedding]; p < batch.offsets[embedding + 1]; ++p)
    sum += static_cast<double>(batch.weights[p]) * static_cast<double>(values[p - first]);
  return sum;
}

template <class Scalar>
double weighted_error(const PackedEmbeddings<Scalar>& batch, Index embedding, const float* errors, Index first) {
  double sum = 0;
  for (Index p = batch.offsets[embedding]; p < batch.offsets[embedding + 1]; ++p)
    sum += std::abs(static_cast<double>(batch.weights[p])) * static_cast<double>(errors[p - first]);
  return sum;
}

void embed(const Embedding& query, double gamma, const double* tiles, Index count, double*, double* values) {
  active_kernels().embed_double(query, gamma, tiles, count, values);
}

void embed(const Embedding& query, double gamma, const float* tiles, Index count, double* widened, double* values) {
  active_kernels().embed_double_of_float(query, gamma, tiles, count, widened, values);
}

template <class Scalar>
const Scalar* tiles_of(const PackedEmbeddings<Scalar>& batch, const TileRange& range) {
  return batch.tiles + range.first * batch.dim * tile_lanes;
}

/// Scratch memory of one worker: grows to what the largest chunk needs.
struct Scratch {
  std::vector<double> widened, values;
  std::vector<float> shifted, values_float, errors;
};

/// work(begin, end, range, scratch) for runs of embeddings and the tiles that hold their points, by all threads.
template <class Scalar, class Work>
void for_each_run(const PackedEmbeddings<Scalar>& batch, Index query_rows, ThreadTeam& team, const Work& work) {
  const std::vector<Index> bounds = chunk_bounds(batch.offsets, batch.count, query_rows, batch.dim);
  std::vector<Scratch> scratch(team.size());
  team.for_each(static_cast<Index>(bounds.size()) - 1, [&](Index chunk, int worker) {
    const Index begin = bounds[chunk], end = bounds[chunk + 1];
    work(begin, end, TileRange(batch.offsets[begin], batch.offsets[end]), scratch[worker]);
  });
}

double squared_distance(const double* x, const double* y, Index dim) {
  double sum = 0;
  for (Index k = 0; k < dim; ++k) sum += (x[k] - y[k]) * (x[k] - y[k]);
  return sum;
}

}  // namespace

/// Rows of one sign that lie within group_radius of their centroid.
struct PreparedQuery::Group {
  std::vector<Index> rows;
  std::vector<double> centre;  // a float in each coordinate: what the kernel subtracts is exactly this
  double radius = 0;           // largest gamma ||x - centre||^2

  void measure(const Embedding& query, double gamma) {
    centre.assign(query.dim, 0.0);
    for (Index row : rows)
      for (Index k = 0; k < query.dim; ++k) centre[k] += query.points[row * query.dim + k];
    for (double& c : centre) c = static_cast<double>(static_cast<float>(c / static_cast<double>(rows.size())));
    radius = 0;
    for (Index row : rows)
      radius = std::max(radius, gamma * squared_distance(query.points + row * query.dim, centre.data(), query.dim));
  }

  Index farthest_from(const Embedding& query, const double* point) const {
    return *std::max_element(rows.begin(), rows.end(), [&](Index a, Index b) {
      return squared_distance(query.points + a * query.dim, point, query.dim) <
             squared_distance(query.points + b * query.dim, point, query.dim);
    });
  }
};

PreparedQuery::PreparedQuery(const Embedding& query, double gamma)
    : dim_(query.dim),
      exponent_scale_(static_cast<float>(gamma * log2_e)),
      error_slope_(static_cast<float>(unit_roundoff * 3 * static_cast<double>(query.dim + 4) * gamma)) {
  std::vector<Group> pending(2);
  for (Index row = 0; row < query.count; ++row)
    if (query.weights[row] != 0) pending[query.weights[row] < 0].rows.push_back(row);
  while (!pending.empty()) {
    Group group = std::move(pending.back());
    pending.pop_back();
    if (group.rows.empty()) continue;
    group.measure(query, gamma);
    if (group.radius <= group_radius || group.rows.size() == 1) {
      add_group(query, group, gamma);
      continue;
    }
    // Halves by the nearer of two rows that lie far apart.
    const double* a = query.points + dim_ * group.farthest_from(query, group.centre.data());
    const double* b = query.points + dim_ * group.farthest_from(query, a);
    Group halves[2];
    for (Index row : group.rows) {
      const double* x = query.points + row * dim_;
      halves[squared_distance(x, b, dim_) < squared_distance(x, a, dim_)].rows.push_back(row);
    }
    if (halves[1].rows.empty()) {  // all rows equal up to rounding: no cut can help
      add_group(query, group, gamma);
      continue;
    }
    for (Group& half : halves) pending.push_back(std::move(half));
  }
}

void PreparedQuery::add_group(const Embedding& query, const Group& group, double gamma) {
  const auto magnitude = [&](Index row) { return std::abs(query.weights[row]); };
  double largest = 0;
  for (Index row : group.rows) largest = std::max(largest, magnitude(row));
  const float scale = std::max(static_cast<float>(largest), std::numeric_limits<float>::min());
  const Index count = static_cast<Index>(group.rows.size());
  const Index first = static_cast<Index>(rows_.size());
  rows_.resize(first + count * dim_);
  // exp2 ends at 2^-126, the sum times the scale at 2^-149.
  double floor = std::ldexp(static_cast<double>(scale), -124) * static_cast<double>(count) + std::ldexp(1.0, -148);
  double largest_log = 0;
  for (Index i = 0; i < count; ++i) {
    const Index row = group.rows[i];
    const double* x = query.points + row * dim_;
    const Index block = i / query_block_rows * query_block_rows;
    const Index rows_of_block = std::min<Index>(query_block_rows, count - block);
    float* to = rows_.data() + first + block * dim_ + i % query_block_rows;
    double norm = 0;
    for (Index k = 0; k < dim_; ++k) {
      const double shifted = x[k] - group.centre[k];
      norm += shifted * shifted;
      to[k * rows_of_block] = static_cast<float>(2 * gamma * log2_e * shifted);
    }
    const double log_weight = std::log2(magnitude(row) / static_cast<double>(scale));
    row_terms_.push_back(static_cast<float>(log_weight - gamma * log2_e * norm));
    const double log_error = unit_roundoff * static_cast<double>(dim_ + 2) * std::abs(log_weight) / log2_e;
    if (log_weight >= lightest_log)
      largest_log = std::max(largest_log, log_error);
    else
      floor += magnitude(row) * log_error;
  }
  for (double c : group.centre) centres_.push_back(static_cast<float>(c));
  signs_.push_back(query.weights[group.rows.front()] < 0 ? -1.0f : 1.0f);
  scales_.push_back(scale);
  const double fixed = 3 * static_cast<double>(dim_ + 4) * group.radius + static_cast<double>(count) + 16;
  error_terms_.push_back(static_cast<float>(unit_roundoff * fixed + largest_log));
  // A gamma for which float32 can't hold squares near 1 / gamma: the bound says that nothing is known.
  const bool in_range = exponent_scale_ >= 1e-30f && exponent_scale_ <= 1e30f;
  error_floors_.push_back(in_range ? static_cast<float>(floor) : std::numeric_limits<float>::infinity());
  group_begin_.push_back(group_begin_.back() + count);
}

void PreparedQuery::embed(const float* tiles, Index tiles_count, float* shifted, float* values, float* errors) const {
  QueryRows rows;
  rows.dim = dim_;
  rows.group_count = group_count();
  rows.group_begin = group_begin_.data();
  rows.centres = centres_.data();
  rows.signs = signs_.data();
  rows.error_terms = error_terms_.data();
  rows.error_floors = error_floors_.data();
  rows.rows = rows_.data();
  rows.row_terms = row_terms_.data();
  rows.scales = scales_.data();
  rows.exponent_scale = exponent_scale_;
  rows.error_slope = error_slope_;
  active_kernels().embed_float(rows, tiles, tiles_count, shifted, values, errors);
}

void inner_products(const std::vector<PreparedQuery>& queries, const PackedEmbeddings<float>& batch, ThreadTeam& team,
                    double* products, double* errors) {
  Index query_rows = 0;
  for (const PreparedQuery& query : queries) query_rows += query.row_count();
  for_each_run(batch, query_rows, team, [&](Index begin, Index end, const TileRange& range, Scratch& own) {
    own.shifted.resize(batch.dim * embed_scratch_lanes);
    own.values_float.resize(range.points());
    own.errors.resize(range.points());
    for (std::size_t q = 0; q < queries.size(); ++q) {
      queries[q].embed(tiles_of(batch, range), range.count, own.shifted.data(), own.values_float.data(),
                       own.errors.data());
      for (Index i = begin; i < end; ++i) {
        const Index at = static_cast<Index>(q) * batch.count + i;
        products[at] = weighted_sum(batch, i, own.values_float.data(), range.first_point());
        errors[at] = weighted_error(batch, i, own.errors.data(), range.first_point());
        if (!std::isfinite(products[at]) || !std::isfinite(errors[at])) {
          // A norm left float's range. The bound says that nothing is known.
          products[at] = 0;
          errors[at] = std::numeric_limits<double>::infinity();
        }
      }
    }
  });
}

template <class Scalar>
void inner_products(const std::vector<Embedding>& queries, const PackedEmbeddings<Scalar>& batch, double gamma,
                    ThreadTeam& team, double* products) {
  Index query_rows = 0;
  for (const Embedding& query : queries) query_rows += query.count;
  for_each_run(batch, query_rows, team, [&](Index begin, Index end, const TileRange& range, Scratch& own) {
    own.widened.resize(batch.dim * tile_lanes);
    own.values.resize(range.points());
    for (std::size_t q = 0; q < queries.size(); ++q) {
      embed(queries[q], gamma, tiles_of(batch, range), range.count, own.widened.data(), own.values.data());
      for (Index i = begin; i < end; ++i)
        products[static_cast<Index>(q) * batch.count + i] =
            weighted_sum(batch, i, own.values.data(), range.first_point());
    }
  });
}

template <class Scalar>
void chosen_inner_products(const Embedding& query, const PackedEmbeddings<Scalar>& batch, const Index* chosen,
                           Index chosen_count, double gamma, ThreadTeam& team, double* products) {
  std::vector<Scratch> scratch(team.size());
  team.for_each(chosen_count, [&](Index chunk, int worker) {
    const Index i = chosen[chunk];
    const TileRange range(batch.offsets[i], batch.offsets[i + 1]);
    Scratch& own = scratch[worker];
    own.widened.resize(batch.dim * tile_lanes);
    own.values.resize(range.points());
    embed(query, gamma, tiles_of(batch, range), range.count, own.widened.data(), own.values.data());
    products[chunk] = weighted_sum(batch, i, own.values.data(), range.first_point());
  });
}

template <class Scalar>
void self_inner_products(const PackedEmbeddings<Scalar>& batch, double gamma, ThreadTeam& team, double* products) {
  const Index mean_rows = batch.count > 0 ? batch.point_count() / batch.count : 0;
  for_each_run(batch, mean_rows, team, [&](Index first, Index last, const TileRange&, Scratch& own) {
    own.widened.resize(batch.dim * tile_lanes);
    std::vector<double> rows, weights;
    for (Index i = first; i < last; ++i) {
      const Index begin = batch.offsets[i], end = batch.offsets[i + 1];
      const TileRange range(begin, end);
      rows.resize((end - begin) * batch.dim);
      unpack_points(batch.tiles, batch.dim, begin, end, rows.data());
      weights.assign(batch.weights + begin, batch.weights + end);
      own.values.resize(range.points());
      const Embedding embedding{rows.data(), weights.data(), end - begin, batch.dim};
      embed(embedding, gamma, tiles_of(batch, range), range.count, own.widened.data(), own.values.data());
      products[i] = weighted_sum(batch, i, own.values.data(), range.first_point());
    }
  });
}

void embed_points(const Embedding& embedding, const double* points, Index point_count, double gamma, ThreadTeam& team,
                  double* values) {
  constexpr Index chunk_tiles = 16;
  const Index chunks = (tile_count(point_count) + chunk_tiles - 1) / chunk_tiles;
  std::vector<Scratch> scratch(team.size());
  team.for_each(chunks, [&](Index chunk, int worker) {
    const Index begin = chunk * chunk_tiles * tile_lanes;
    const Index end = std::min(point_count, begin + chunk_tiles * tile_lanes);
    Scratch& own = scratch[worker];
    own.widened.resize(tile_count(end - begin) * embedding.dim * tile_lanes);
    own.values.resize(tile_count(end - begin) * tile_lanes);
    pack_points(points + begin * embedding.dim, end - begin, embedding.dim, own.widened.data());
    active_kernels().embed_double(embedding, gamma, own.widened.data(), tile_count(end - begin), own.values.data());
    std::copy_n(own.values.data(), end - begin, values + begin);
  });
}

template void inner_products(const std::vector<Embedding>&, const PackedEmbeddings<float>&, double, ThreadTeam&,
                             double*);
template void inner_products(const std::vector<Embedding>&, const PackedEmbeddings<double>&, double, ThreadTeam&,
                             double*);
template void chosen_inner_products(const Embedding&, const PackedEmbeddings<float>&, const Index*, Index, double,
                                    ThreadTeam&, double*);
template void chosen_inner_products(const Embedding&, const PackedEmbeddings<double>&, const Index*, Index, double,
                                    ThreadTeam&, double*);
template void self_inner_products(const PackedEmbeddings<float>&, double, ThreadTeam&, double*);
template void self_inner_products(const PackedEmbeddings<double>&, double, ThreadTeam&, double*);

}  // namespace learndock
