// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at the points of tiles, in float64.

/// Vectors of sums worked on together: 16, where there are registers for them, keep the multipliers busier than 8. At
/// 32 coordinates that saves a fifth.
constexpr int double_sums = LEARNDOCK_VECTOR_BYTES == 64 ? 16 : LEARNDOCK_VECTOR_BYTES == 32 ? 12 : 8;

// kernel[r][part] = k(rows[r], y) for `together` rows and the points y of `parts` vectors of a tile.
template <int together, int parts>
inline void kernel_values(const double* rows, Index dim, double exponent_scale, const double* tile,
                          Vec<double> (*kernel)[parts]) {
  Vec<double> distances[together][parts] = {};
  for (Index k = 0; k < dim; ++k) {
    Vec<double> y[parts];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) y[part] = load(tile + k * tile_lanes + part * lanes_of<double>);
#pragma GCC unroll 16
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        const Vec<double> difference = y[part] - rows[r * dim + k];
        distances[r][part] = fused_sum(distances[r][part], difference, difference);
      }
  }
#pragma GCC unroll 16
  for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) kernel[r][part] = exp2(distances[r][part] * -exponent_scale);
}

template <int together, int parts>
inline void add_rows(const double* rows, const double* weights, Index count, Index dim, double exponent_scale,
                     const double* tile, Vec<double>* sums) {
  Index row = 0;
  for (; row + together <= count; row += together) {
    Vec<double> kernel[together][parts];
    kernel_values<together, parts>(rows + row * dim, dim, exponent_scale, tile, kernel);
#pragma GCC unroll 16
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part)
        sums[part] = fused_sum(sums[part], kernel[r][part], weights[row + r] - Vec<double>{});
  }
  if constexpr (together > 1)
    add_rows<together / 2, parts>(rows + row * dim, weights + row, count - row, dim, exponent_scale, tile, sums);
}

template <int parts>
inline void embed_parts(const Embedding& query, double exponent_scale, const double* tile, double* values) {
  Vec<double> sums[parts] = {};
  add_rows<double_sums / parts, parts>(query.points, query.weights, query.count, query.dim, exponent_scale, tile, sums);
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) store(values + part * lanes_of<double>, sums[part]);
}

// Values at the points begin .. end - 1 of a tile, and at those that share vectors with them: of an embedding of 100
// points, tiles hold twelve others.
inline void embed_tile(const Embedding& query, double gamma, const double* tile, Index begin, Index end,
                       double* values) {
  constexpr int lanes = lanes_of<double>;
  const double exponent_scale = gamma * log2_e;
  const Index first = begin / lanes * lanes;
  if (first == 0 && end > tile_lanes - lanes)
    embed_parts<parts_of<double>>(query, exponent_scale, tile, values);
  else
    for (Index lane = first; lane < end; lane += lanes)
      embed_parts<1>(query, exponent_scale, tile + lane, values + lane);
}

void embed_double(const Embedding& query, double gamma, const double* tiles, Index begin, Index end, double* values) {
  for (Index at = begin / tile_lanes * tile_lanes; at < end; at += tile_lanes)
    embed_tile(query, gamma, tiles + at * query.dim, begin > at ? begin - at : 0,
               end - at < tile_lanes ? end - at : tile_lanes, values + at);
}

void embed_double_of_float(const Embedding& query, double gamma, const float* tiles, Index begin, Index end,
                           double* widened, double* values) {
  for (Index at = begin / tile_lanes * tile_lanes; at < end; at += tile_lanes) {
    const float* tile = tiles + at * query.dim;
    for (Index i = 0; i < query.dim * tile_lanes; ++i) widened[i] = static_cast<double>(tile[i]);
    embed_tile(query, gamma, widened, begin > at ? begin - at : 0, end - at < tile_lanes ? end - at : tile_lanes,
               values + at);
  }
}
