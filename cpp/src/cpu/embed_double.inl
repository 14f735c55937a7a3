// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at the points of tiles, in float64.

/// Rows worked on together. What they share is loaded once, and 16 sums, where there are registers for them, keep the
/// multipliers busier than 8: at 32 coordinates that saves a fifth.
constexpr int double_rows_together = (LEARNDOCK_VECTOR_BYTES == 64   ? 16
                                      : LEARNDOCK_VECTOR_BYTES == 32 ? 12
                                                                     : 8) /
                                     parts_of<double>;

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
  add_rows<double_rows_together>(query.points, query.weights, query.count, query.dim, gamma * log2_e, tile, sums);
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
