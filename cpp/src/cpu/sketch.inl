// SPDX-License-Identifier: Apache-2.0
//
// Bounds of sketches: 16 embeddings along the lanes, one coordinate after the other.

/// 8-bit integers of the lanes of one vector, as floats.
inline Vec<float> widen_codes(const std::int8_t* from) {
#if defined(__AVX512F__)
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
  Vec<float> v;
  for (int lane = 0; lane < lanes_of<float>; ++lane) v[lane] = static_cast<float>(from[lane]);
  return v;
#endif
}

template <int queries>
inline void add_sketch_distances(const SketchBlocks& blocks, const float* coordinates, Index query_stride, float* sums,
                                 Index sum_stride) {
  constexpr int lanes = lanes_of<float>;
  for (Index v = 0; v < blocks.count * parts_of<float>; ++v) {
    const Index block = v / parts_of<float>, part = v % parts_of<float>;
    const std::int8_t* codes = blocks.codes + block * blocks.coordinates * tile_lanes + part * lanes;
    float* to = sums + v * lanes;
    Vec<float> totals[queries];
#pragma GCC unroll 8
    for (int q = 0; q < queries; ++q) totals[q] = load(to + q * sum_stride);
    for (Index i = 0; i < blocks.coordinates; ++i) {
      const Vec<float> stored = widen_codes(codes + i * tile_lanes) * blocks.scales[i];
#pragma GCC unroll 8
      for (int q = 0; q < queries; ++q) {
        const Vec<float> difference = stored - coordinates[q * query_stride + i];
        totals[q] += difference * difference;
      }
    }
#pragma GCC unroll 8
    for (int q = 0; q < queries; ++q) store(to + q * sum_stride, totals[q]);
  }
}

void sketch_distances(const SketchBlocks& blocks, const float* coordinates, Index query_count, Index query_stride,
                      float* sums, Index sum_stride) {
  Index q = 0;
  const auto at = [&](auto add) {
    add(blocks, coordinates + q * query_stride, query_stride, sums + q * sum_stride, sum_stride);
  };
  for (; q + 4 <= query_count; q += 4) at(add_sketch_distances<4>);
  if (q + 2 <= query_count) {
    at(add_sketch_distances<2>);
    q += 2;
  }
  if (q < query_count) at(add_sketch_distances<1>);
}

void sketch_bounds(const float* sums, const float* residuals, const float* errors, Index blocks,
                   const SketchComparison& with, float* bounds, float* guesses, float* lowest) {
  constexpr int lanes = lanes_of<float>;
  const Vec<float> zero{}, largest = 3e38f + zero;
  for (Index block = 0; block < blocks; ++block) {
    float least = 3e38f;
    for (int part = 0; part < parts_of<float>; ++part) {
      const Index at = block * tile_lanes + part * lanes;
      const Vec<float> sum = load(sums + at), residual = load(residuals + at);
      const Vec<float> between = residual - with.residual;
      Vec<float> distance = square_root(sum + between * between) * with.shrink - (load(errors + at) + with.error);
      distance = distance > zero ? distance : zero;  // and where nothing is known: infinity less infinity
      const Vec<float> bound = distance * distance * with.shrink;
      store(bounds + at, bound < largest ? bound : largest);
      const Vec<float> guess = sum + residual * (residual - with.correlated_residual) + with.residual * with.residual;
      store(guesses + at, guess);
      for (int lane = 0; lane < lanes; ++lane) least = guess[lane] < least ? guess[lane] : least;
    }
    lowest[block] = least;
  }
}
