// SPDX-License-Identifier: Apache-2.0
//
// Bounds of sketches and of balls: for blocks of them, 16 along the lanes, one coordinate after the other; for single
// ones the coordinates along the lanes.

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
      // Or the scale goes into each query's difference, as a multiplication where a subtraction does.
      const Vec<float> stored = computed_once(widen_codes(codes + i * tile_lanes) * blocks.scales[i]);
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
  // Eight sums that do not wait for each other: two multiply-adds a cycle, each of four.
  for (; q + 8 <= query_count; q += 8) at(add_sketch_distances<8>);
  if (q + 4 <= query_count) {
    at(add_sketch_distances<4>);
    q += 4;
  }
  if (q + 2 <= query_count) {
    at(add_sketch_distances<2>);
    q += 2;
  }
  if (q < query_count) at(add_sketch_distances<1>);
}

float sketch_row_distance(const std::int8_t* codes, const float* scales, const float* coordinates, Index count) {
  constexpr int lanes = lanes_of<float>;
  Vec<float> sums{};
  Index i = 0;
  for (; i + lanes <= count; i += lanes) {
    const Vec<float> difference = widen_codes(codes + i) * load(scales + i) - load(coordinates + i);
    sums += difference * difference;
  }
  float rest = 0;
  for (; i < count; ++i) {
    const float difference = static_cast<float>(codes[i]) * scales[i] - coordinates[i];
    rest += difference * difference;
  }
  return sum_of_lanes(sums) + rest;
}

/// Bit i is set where lane i is at most the limit.
inline unsigned lanes_at_most(Vec<float> x, float limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(limit), _CMP_LE_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)x, _mm256_set1_ps(limit), _CMP_LE_OQ)));
#elif defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmple_ps((__m128)x, _mm_set1_ps(limit))));
#else
  unsigned bits = 0;
  for (int lane = 0; lane < lanes_of<float>; ++lane) bits |= static_cast<unsigned>(x[lane] <= limit) << lane;
  return bits;
#endif
}

/// Lower bounds of MMD^2 for the lanes from `at` on.
inline Vec<float> bounds_at(const float* sums, const float* residuals, const float* errors, Index at,
                            const SketchComparison& with) {
  const Vec<float> zero{}, largest = 3e38f + zero;
  const Vec<float> between = load(residuals + at) - with.residual;
  Vec<float> distance =
      square_root(load(sums + at) + between * between) * with.shrink - (load(errors + at) + with.error);
  distance = distance > zero ? distance : zero;  // and where nothing is known: infinity less infinity
  const Vec<float> bound = distance * distance * with.shrink;
  return bound < largest ? bound : largest;
}

void sketch_bounds(const float* sums, const float* residuals, const float* errors, Index blocks,
                   const SketchComparison& with, float limit, float* bounds, std::uint16_t* at_most) {
  constexpr int lanes = lanes_of<float>;
  for (Index block = 0; block < blocks; ++block) {
    unsigned bits = 0;
    for (int part = 0; part < parts_of<float>; ++part) {
      const Index at = block * tile_lanes + part * lanes;
      const Vec<float> bound = bounds_at(sums, residuals, errors, at, with);
      store(bounds + at, bound);
      bits |= lanes_at_most(bound, limit) << (part * lanes);
    }
    at_most[block] = static_cast<std::uint16_t>(bits);
  }
}

void short_bounds(const float* sums, const float* residuals, const float* errors, Index blocks,
                  const SketchComparison& with, std::int16_t* halves) {
  constexpr int lanes = lanes_of<float>;
  typedef std::int16_t Halves __attribute__((vector_size(lanes * sizeof(std::int16_t))));
  for (Index at = 0; at < blocks * tile_lanes; at += lanes) {
    const auto bits = reinterpret_cast<VecOf<float>::bits>(bounds_at(sums, residuals, errors, at, with));
    const Halves upper = __builtin_convertvector(bits >> 16, Halves);
    __builtin_memcpy(halves + at, &upper, sizeof upper);
  }
}

void sketch_guesses(const float* sums, const float* residuals, Index blocks, const SketchComparison& with, float limit,
                    float* guesses, std::uint16_t* at_most) {
  constexpr int lanes = lanes_of<float>;
  for (Index block = 0; block < blocks; ++block) {
    unsigned bits = 0;
    for (int part = 0; part < parts_of<float>; ++part) {
      const Index at = block * tile_lanes + part * lanes;
      const Vec<float> residual = load(residuals + at);
      const Vec<float> guess =
          load(sums + at) + residual * (residual - with.correlated_residual) + with.residual * with.residual;
      store(guesses + at, guess);
      bits |= lanes_at_most(guess, limit) << (part * lanes);
    }
    at_most[block] = static_cast<std::uint16_t>(bits);
  }
}

void halves_at_most(const std::int16_t* halves, Index blocks, std::int16_t limit, std::uint16_t* at_most) {
  for (Index block = 0; block < blocks; ++block) {
    const std::int16_t* lanes = halves + block * tile_lanes;
#if defined(__SSE2__)
    const __m128i most = _mm_set1_epi16(limit);
    const __m128i low = _mm_cmpgt_epi16(_mm_loadu_si128((const __m128i*)lanes), most);
    const __m128i high = _mm_cmpgt_epi16(_mm_loadu_si128((const __m128i*)(lanes + tile_lanes / 2)), most);
    at_most[block] = static_cast<std::uint16_t>(~_mm_movemask_epi8(_mm_packs_epi16(low, high)));
#else
    unsigned bits = 0;
    for (int lane = 0; lane < tile_lanes; ++lane) bits |= static_cast<unsigned>(lanes[lane] <= limit) << lane;
    at_most[block] = static_cast<std::uint16_t>(bits);
#endif
  }
}
