// SPDX-License-Identifier: Apache-2.0
//
// A step of herding by bounds: see learndock/herding.hpp. Distances are sums of squared differences, exact in integers
// for points of int16. The step is bound by the bytes of the points, which are read in one stream: the subtractions,
// and the second product of int16, cost next to nothing.

/// The larger of each two lanes.
inline Vec<float> larger(Vec<float> a, Vec<float> b) { return a > b ? a : b; }

/// sums + the products of the int16 of a and b, added up in pairs of neighbours.
inline VecOf<float>::bits add_products_of_pairs(VecOf<float>::bits sums, Vec<std::int16_t> a, Vec<std::int16_t> b) {
  typedef VecOf<float>::bits Bits;
#if defined(__AVX512VNNI__) && LEARNDOCK_VECTOR_BYTES == 64
  return reinterpret_cast<Bits>(
      _mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sums), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX512BW__) && LEARNDOCK_VECTOR_BYTES == 64
  return sums + reinterpret_cast<Bits>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__) && LEARNDOCK_VECTOR_BYTES == 32
  return sums + reinterpret_cast<Bits>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__) && LEARNDOCK_VECTOR_BYTES == 16
  return sums + reinterpret_cast<Bits>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  const Bits a_pairs = reinterpret_cast<Bits>(a), b_pairs = reinterpret_cast<Bits>(b);
  return sums + ((a_pairs << 16) >> 16) * ((b_pairs << 16) >> 16) + (a_pairs >> 16) * (b_pairs >> 16);
#endif
}

/// The pair of neighbours at `from` in all lanes.
inline Vec<std::int16_t> broadcast_pair(const std::int16_t* from) {
  std::int32_t pair;
  __builtin_memcpy(&pair, from, sizeof pair);
  return reinterpret_cast<Vec<std::int16_t>>(pair + VecOf<float>::bits{});
}

/// Vectors worked on together: four independent chains of sums.
constexpr int vectors_together = 4;
constexpr int lanes_together = vectors_together * lanes_of<float>;

struct FloatPoints {
  const float* tiles;
  const float* point;
  Index dim;

  /// Squared distances of the lanes first_lane .. first_lane + lanes_together - 1 of a tile.
  void squared_distances(Index tile, Index first_lane, float* distances) const {
    Vec<float> squares[vectors_together] = {};
    const float* from = tiles + tile * dim * herding_lanes + first_lane;
    for (Index k = 0; k < dim; ++k, from += herding_lanes) {
      const Vec<float> x = point[k] - Vec<float>{};
#pragma GCC unroll 4
      for (int v = 0; v < vectors_together; ++v) {
        const Vec<float> difference = load(from + v * lanes_of<float>) - x;
        squares[v] += difference * difference;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors_together; ++v) store(distances + v * lanes_of<float>, squares[v]);
  }
};

struct Int16Points {
  const std::int16_t* tiles;
  Int16Point point;
  Index pair_count;

  void squared_distances(Index tile, Index first_lane, float* distances) const {
    VecOf<float>::bits squares[vectors_together] = {}, products[vectors_together] = {};
    const std::int16_t* from = tiles + (tile * pair_count * herding_lanes + first_lane) * 2;
    for (Index k = 0; k < pair_count; ++k, from += 2 * herding_lanes) {
      const Vec<std::int16_t> rounded = broadcast_pair(point.rounded + 2 * k);
      const Vec<std::int16_t> remainder = broadcast_pair(point.remainder + 2 * k);
#pragma GCC unroll 4
      for (int v = 0; v < vectors_together; ++v) {
        const Vec<std::int16_t> difference = load(from + v * lanes_of<std::int16_t>) - rounded;
        squares[v] = add_products_of_pairs(squares[v], difference, difference);
        products[v] = add_products_of_pairs(products[v], difference, remainder);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors_together; ++v)
      store(distances + v * lanes_of<float>,
            __builtin_convertvector(squares[v], Vec<float>) -
                __builtin_convertvector(products[v], Vec<float>) * point.twice_remainder_unit);
  }
};

/// Raises the bounds of a tile and returns the highest.
inline float raise_tile(const float* distances, const HerdingStep& step, const float* rises, float* bounds) {
  // More than the sum and the product below round.
  const float up = 1.0f + 0x1p-22f, down = 1.0f - 0x1p-22f;
  Vec<float> highest = -__builtin_inff() - Vec<float>{};
#pragma GCC unroll 4
  for (Index at = 0; at < herding_lanes; at += lanes_of<float>) {
    const Vec<float> kernel = add_exp2(Vec<float>{}, -step.offset - load(distances + at) * step.slope) * exp2_unit;
    const Vec<float> sum = load(bounds + at) + (load(rises + at) - kernel);
    const Vec<float> bound = larger(sum * up, sum * down);
    store(bounds + at, bound);
    highest = larger(bound, highest);
  }
  return largest_lane(highest);
}

template <class Points>
inline void raise_all(const Points& points, Index tiles_count, const HerdingStep& step, const float* rises,
                      float* bounds, float* highest) {
  float distances[herding_lanes];
  for (Index tile = 0; tile < tiles_count; ++tile) {
    for (Index lane = 0; lane < herding_lanes; lane += lanes_together)
      points.squared_distances(tile, lane, distances + lane);
    highest[tile] = raise_tile(distances, step, rises + tile * herding_lanes, bounds + tile * herding_lanes);
  }
}

void raise_bounds_float(const float* tiles, const float* point, Index dim, Index tiles_count, const HerdingStep& step,
                        const float* rises, float* bounds, float* highest) {
  raise_all(FloatPoints{tiles, point, dim}, tiles_count, step, rises, bounds, highest);
}

void raise_bounds_int16(const std::int16_t* tiles, const Int16Point& point, Index pair_count, Index tiles_count,
                        const HerdingStep& step, const float* rises, float* bounds, float* highest) {
  raise_all(Int16Points{tiles, point, pair_count}, tiles_count, step, rises, bounds, highest);
}
