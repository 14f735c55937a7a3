// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at points, in float32 with a bound on the error. The exponentials of one block of rows are
// written between the multiplications of the next: neither waits for the other, and on a processor whose additions have
// ports of their own the exponential costs two multiplications (see add_exp2). Measured per 16 pairs at dim 8 and 32 on
// AMD Zen 4: 10.4 and 34.5 cycles against 13.5 and 38.6 where the exponentials follow the products.

/// Vectors of points worked on together. With query_block_rows it makes 12 sums: two FMAs a cycle with a latency of 4
/// need 8 and more, and 12 new ones, 12 old ones and what is loaded fit into 32 registers. Measured on AMD Zen 5 at dim
/// 8, 32 and 128: 1.15, 1.08 and 1.07 times (dim + 2) / 2 cycles per 16 pairs; with 5 rows 1.13, 1.12 and 1.13.
constexpr int most_vectors = 2;

#if defined(__AVX512F__)
constexpr bool pipelined = true;
#else
constexpr bool pipelined = false;  // 16 registers don't hold two blocks
#endif

/// A load that stays in its register: GCC would repeat it in every product that the vector takes part in.
inline Vec<float> load_once(const float* from) {
  Vec<float> v = load(from);
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__SSE2__)
  asm("" : "+x"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

/// exponents[r][v] += <rows[r], y_v> for coordinates begin .. end - 1 of a block of rows, stored [dim][rows].
template <int rows, int vectors>
inline void add_products(const float* block, Index begin, Index end, const float* shifted,
                         Vec<float> (&exponents)[rows][vectors]) {
  constexpr int lanes = lanes_of<float>;
  for (Index k = begin; k < end; ++k) {
    Vec<float> y[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) y[v] = load_once(shifted + (k * vectors + v) * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) exponents[r][v] += block[k * rows + r] * y[v];
  }
}

template <int rows, int vectors>
inline void start_exponents(const float* row_terms, const Vec<float>* lane_terms,
                            Vec<float> (&exponents)[rows][vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) exponents[r][v] = lane_terms[v] + row_terms[r];
}

template <int rows, int vectors>
inline void add_exponentials(const Vec<float> (&exponents)[rows][vectors], Vec<float>* sums) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[v] = add_exp2(sums[v], exponents[r][v]);
}

/// A block by itself.
template <int rows, int vectors>
inline void add_block(const float* block, const float* row_terms, Index dim, const float* shifted,
                      const Vec<float>* lane_terms, Vec<float>* sums) {
  Vec<float> exponents[rows][vectors];
  start_exponents(row_terms, lane_terms, exponents);
  add_products(block, 0, dim, shifted, exponents);
  add_exponentials(exponents, sums);
}

/// Coordinates over which the exponentials of the block before are spread.
constexpr int pipelined_coordinates = 8;

/// The exponents of a block, and between its products sums[v] += 2^before[r][v].
template <int rows, int vectors>
inline void pipeline_block(const float* block, const float* row_terms, Index dim, const float* shifted,
                           const Vec<float>* lane_terms, const Vec<float> (&before)[query_block_rows][vectors],
                           Vec<float>* sums, Vec<float> (&exponents)[rows][vectors]) {
  constexpr int lanes = lanes_of<float>;
  constexpr int products = pipelined_coordinates * rows * vectors;
  constexpr int exponentials = query_block_rows * vectors;
  asm("" : "+r"(shifted));  // or GCC keeps a small tile in registers that it does not have
  start_exponents(row_terms, lane_terms, exponents);
#pragma GCC unroll 8
  for (int k = 0; k < pipelined_coordinates; ++k) {
    Vec<float> y[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) y[v] = load_once(shifted + (k * vectors + v) * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        exponents[r][v] += block[k * rows + r] * y[v];
        const int done = (k * rows + r) * vectors + v;
        const int e = done * exponentials / products;
        if (e < (done + 1) * exponentials / products)
          sums[e % vectors] = add_exp2(sums[e % vectors], before[e / vectors][e % vectors]);
      }
  }
  add_products(block, pipelined_coordinates, dim, shifted, exponents);
}

/// The last block, of fewer rows than the others, and with it the exponentials of the block before.
template <int rows, int vectors>
inline void finish_blocks(const float* block, const float* row_terms, Index dim, const float* shifted,
                          const Vec<float>* lane_terms, const Vec<float> (&before)[query_block_rows][vectors],
                          Vec<float>* sums) {
  Vec<float> exponents[rows][vectors];
  pipeline_block(block, row_terms, dim, shifted, lane_terms, before, sums, exponents);
  add_exponentials(exponents, sums);
}

/// sums[v] += sum of 2^(row_terms[r] + lane_terms[v] + <rows[r], y_v>) over the rows of a group.
template <int vectors>
inline void add_group(const float* rows, const float* row_terms, Index count, Index dim, const float* shifted,
                      const Vec<float>* lane_terms, Vec<float>* sums) {
  const Index blocks = count / query_block_rows;
  const auto block = [&](Index b) { return rows + b * query_block_rows * dim; };
  const auto terms = [&](Index b) { return row_terms + b * query_block_rows; };
  const int rest = static_cast<int>(count % query_block_rows);
  if (!pipelined || dim < pipelined_coordinates || blocks == 0) {
    for (Index b = 0; b < blocks; ++b)
      add_block<query_block_rows, vectors>(block(b), terms(b), dim, shifted, lane_terms, sums);
    switch (rest) {
      case 1:
        return add_block<1, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, sums);
      case 2:
        return add_block<2, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, sums);
      case 3:
        return add_block<3, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, sums);
      case 4:
        return add_block<4, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, sums);
      case 5:
        return add_block<5, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, sums);
      default:
        return;
    }
  }
  Vec<float> before[query_block_rows][vectors];
  start_exponents(row_terms, lane_terms, before);
  add_products(rows, 0, dim, shifted, before);
  for (Index b = 1; b < blocks; ++b) {
    Vec<float> exponents[query_block_rows][vectors];
    pipeline_block(block(b), terms(b), dim, shifted, lane_terms, before, sums, exponents);
#pragma GCC unroll 8
    for (int r = 0; r < query_block_rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) before[r][v] = exponents[r][v];
  }
  switch (rest) {
    case 1:
      return finish_blocks<1, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, before, sums);
    case 2:
      return finish_blocks<2, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, before, sums);
    case 3:
      return finish_blocks<3, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, before, sums);
    case 4:
      return finish_blocks<4, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, before, sums);
    case 5:
      return finish_blocks<5, vectors>(block(blocks), terms(blocks), dim, shifted, lane_terms, before, sums);
    default:
      return add_exponentials(before, sums);
  }
}

/// Points less the centre, [dim][vectors][lanes], and their squared norms.
template <int vectors>
inline void shift_lanes(const float* const (&from)[vectors], const float* centre, Index dim, float* shifted,
                        Vec<float> (&norms)[vectors]) {
  constexpr int chains = 4;  // one sum alone would wait for each of its additions
  Vec<float> sums[chains][vectors] = {};
  const auto shift = [&](Index k, int chain) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const Vec<float> y = load(from[v] + k * tile_lanes) - centre[k];
      store(shifted + (k * vectors + v) * lanes_of<float>, y);
      sums[chain][v] += y * y;
    }
  };
  Index k = 0;
  for (; k + chains <= dim; k += chains)
#pragma GCC unroll 4
    for (int chain = 0; chain < chains; ++chain) shift(k + chain, chain);
  for (; k < dim; ++k) shift(k, 0);
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) norms[v] = (sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v]);
}

/// values and errors at `vectors` vectors of points, which begin at the lane `first` of the tiles.
template <int vectors>
inline void embed_lanes(const QueryRows& query, const float* tiles, Index first, float* shifted, float* values,
                        float* errors) {
  constexpr int lanes = lanes_of<float>;
  const Index dim = query.dim;
  const float* from[vectors];
  for (int v = 0; v < vectors; ++v) {
    const Index lane = first + v * lanes;
    from[v] = tiles + lane / tile_lanes * dim * tile_lanes + lane % tile_lanes;
  }
  Vec<float> value[vectors] = {};
  Vec<float> error[vectors] = {};
  for (Index group = 0; group < query.group_count; ++group) {
    const float* centre = query.centres + group * dim;
    Vec<float> norms[vectors];
    shift_lanes<vectors>(from, centre, dim, shifted, norms);
    Vec<float> lane_terms[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) lane_terms[v] = norms[v] * -query.exponent_scale;
    Vec<float> sums[vectors] = {};
    const Index begin = query.group_begin[group];
    add_group<vectors>(query.rows + begin * dim, query.row_terms + begin, query.group_begin[group + 1] - begin, dim,
                       shifted, lane_terms, sums);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      sums[v] *= query.scales[group] * exp2_unit;
      value[v] += sums[v] * query.signs[group];
      error[v] += sums[v] * (query.error_terms[group] + norms[v] * query.error_slope);
      error[v] += query.error_floors[group];
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    store(values + first + v * lanes, value[v]);
    store(errors + first + v * lanes, error[v]);
  }
}

void embed_float(const QueryRows& query, const float* tiles, Index tiles_count, float* shifted, float* values,
                 float* errors) {
  constexpr Index together = most_vectors * lanes_of<float>;
  const Index points = tiles_count * tile_lanes;
  Index first = 0;
  for (; first + together <= points; first += together)
    embed_lanes<most_vectors>(query, tiles, first, shifted, values, errors);
  if constexpr (together > tile_lanes)
    if (first < points) embed_lanes<1>(query, tiles, first, shifted, values, errors);
}
