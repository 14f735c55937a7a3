// SPDX-License-Identifier: Apache-2.0
//
// The kernels, compiled once per instruction set. This file and what it includes use no function of the standard
// library and nothing with external linkage but the table: an inline function compiled here with AVX-512 could be the
// copy that the linker keeps for the whole program.
#include "learndock/cpu_kernels.hpp"

namespace learndock {
namespace {

#include "vec.inl"

constexpr double log2_e = 1.4426950408889634074;

// sums[part] += sum of weights[r] 2^(row_terms[r] + lane_terms + <rows[r], y>) over `together` rows.
template <int together>
inline void add_row_block(const float* rows, const float* row_terms, const float* weights, Index dim,
                          const float* shifted, const Vec<float>* lane_terms, Vec<float>* sums) {
  constexpr int parts = parts_of<float>;
  Vec<float> exponents[together][parts];
#pragma GCC unroll 8
  for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) exponents[r][part] = lane_terms[part] + row_terms[r];
  for (Index k = 0; k < dim; ++k) {
    Vec<float> y[parts];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) y[part] = load(shifted + k * tile_lanes + part * lanes_of<float>);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) exponents[r][part] += rows[r * dim + k] * y[part];
  }
#pragma GCC unroll 8
  for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) sums[part] += weights[r] * exp2(exponents[r][part]);
}

template <int together>
inline void add_rows(const float* rows, const float* row_terms, const float* weights, Index count, Index dim,
                     const float* shifted, const Vec<float>* lane_terms, Vec<float>* sums) {
  Index row = 0;
  for (; row + together <= count; row += together)
    add_row_block<together>(rows + row * dim, row_terms + row, weights + row, dim, shifted, lane_terms, sums);
  if constexpr (together > 1)
    add_rows<together / 2>(rows + row * dim, row_terms + row, weights + row, count - row, dim, shifted, lane_terms,
                           sums);
}

void embed_float(const QueryRows& query, const float* tiles, Index tiles_count, float* shifted, float* values,
                 float* errors) {
  constexpr int parts = parts_of<float>;
  constexpr int lanes = lanes_of<float>;
  const Index dim = query.dim;
  for (Index t = 0; t < tiles_count; ++t) {
    const float* tile = tiles + t * dim * tile_lanes;
    Vec<float> value[parts] = {};
    Vec<float> error[parts] = {};
    for (Index group = 0; group < query.group_count; ++group) {
      const float* centre = query.centres + group * dim;
      Vec<float> norms[parts] = {};
      for (Index k = 0; k < dim; ++k)
#pragma GCC unroll 8
        for (int part = 0; part < parts; ++part) {
          const Index at = k * tile_lanes + part * lanes;
          const Vec<float> y = load(tile + at) - centre[k];
          store(shifted + at, y);
          norms[part] += y * y;
        }
      Vec<float> lane_terms[parts];
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) lane_terms[part] = norms[part] * -query.exponent_scale;
      Vec<float> sums[parts] = {};
      const Index begin = query.group_begin[group];
      add_rows<rows_together<float>>(query.rows + begin * dim, query.row_terms + begin, query.row_weights + begin,
                                     query.group_begin[group + 1] - begin, dim, shifted, lane_terms, sums);
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        value[part] += sums[part] * query.signs[group];
        error[part] += sums[part] * (query.error_terms[group] + norms[part] * query.error_slope);
        error[part] += query.error_floors[group];
      }
    }
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
      store(values + t * tile_lanes + part * lanes, value[part]);
      store(errors + t * tile_lanes + part * lanes, error[part]);
    }
  }
}

// kernel[r][part] = k(rows[r], y) for `together` rows and the points y of one tile.
template <int together>
inline void kernel_values(const double* rows, Index dim, double exponent_scale, const double* tile,
                          Vec<double> (*kernel)[parts_of<double>]) {
  constexpr int parts = parts_of<double>;
  Vec<double> distances[together][parts] = {};
  for (Index k = 0; k < dim; ++k) {
    Vec<double> y[parts];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) y[part] = load(tile + k * tile_lanes + part * lanes_of<double>);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        const Vec<double> difference = y[part] - rows[r * dim + k];
        distances[r][part] += difference * difference;
      }
  }
#pragma GCC unroll 8
  for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) kernel[r][part] = exp2(distances[r][part] * -exponent_scale);
}

template <int together>
inline void add_rows(const double* rows, const double* weights, Index count, Index dim, double exponent_scale,
                     const double* tile, Vec<double>* sums) {
  constexpr int parts = parts_of<double>;
  Index row = 0;
  for (; row + together <= count; row += together) {
    Vec<double> kernel[together][parts];
    kernel_values<together>(rows + row * dim, dim, exponent_scale, tile, kernel);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) sums[part] += kernel[r][part] * weights[row + r];
  }
  if constexpr (together > 1)
    add_rows<together / 2>(rows + row * dim, weights + row, count - row, dim, exponent_scale, tile, sums);
}

inline void embed_tile(const Embedding& query, double gamma, const double* tile, double* values) {
  constexpr int parts = parts_of<double>;
  Vec<double> sums[parts] = {};
  add_rows<rows_together<double>>(query.points, query.weights, query.count, query.dim, gamma * log2_e, tile, sums);
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) store(values + part * lanes_of<double>, sums[part]);
}

void embed_double(const Embedding& query, double gamma, const double* tiles, Index tiles_count, double* values) {
  for (Index t = 0; t < tiles_count; ++t)
    embed_tile(query, gamma, tiles + t * query.dim * tile_lanes, values + t * tile_lanes);
}

void embed_double_of_float(const Embedding& query, double gamma, const float* tiles, Index tiles_count, double* widened,
                           double* values) {
  for (Index t = 0; t < tiles_count; ++t) {
    const float* tile = tiles + t * query.dim * tile_lanes;
    for (Index i = 0; i < query.dim * tile_lanes; ++i) widened[i] = static_cast<double>(tile[i]);
    embed_tile(query, gamma, widened, values + t * tile_lanes);
  }
}

template <int together>
inline void add_moments_of_rows(const double* rows, Index count, Index dim, double exponent_scale, const double* tile,
                                Vec<double>* mass, double* moments) {
  constexpr int parts = parts_of<double>;
  Index row = 0;
  for (; row + together <= count; row += together) {
    const double* block = rows + row * dim;
    Vec<double> kernel[together][parts];
    kernel_values<together>(block, dim, exponent_scale, tile, kernel);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) mass[part] += kernel[r][part];
    for (Index k = 0; k < dim; ++k)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        double* at = moments + k * tile_lanes + part * lanes_of<double>;
        const Vec<double> z = load(tile + k * tile_lanes + part * lanes_of<double>);
        Vec<double> moment = load(at);
#pragma GCC unroll 8
        for (int r = 0; r < together; ++r) moment += kernel[r][part] * (z - block[r * dim + k]);
        store(at, moment);
      }
  }
  if constexpr (together > 1)
    add_moments_of_rows<together / 2>(rows + row * dim, count - row, dim, exponent_scale, tile, mass, moments);
}

void add_moments(const double* rows, Index row_count, Index dim, double gamma, const double* tile, double* mass,
                 double* moments) {
  constexpr int parts = parts_of<double>;
  Vec<double> sums[parts];
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) sums[part] = load(mass + part * lanes_of<double>);
  add_moments_of_rows<rows_together<double>>(rows, row_count, dim, gamma * log2_e, tile, sums, moments);
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) store(mass + part * lanes_of<double>, sums[part]);
}

}  // namespace

const CpuKernels LEARNDOCK_KERNELS = {LEARNDOCK_KERNELS_NAME, embed_float, embed_double, embed_double_of_float,
                                      add_moments};

}  // namespace learndock
