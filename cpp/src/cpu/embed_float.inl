// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at the points of tiles, in float32 with a bound on the error.

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
