// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at points that are rounded to 16-bit integers, with a bound on the error: two products of
// coordinates a multiplication. Inner products of integers are exact, so the only error of a kernel value, apart from
// float32's own in the exponent, is that of a kernel between points that lie delta = |dx| + |dy| off their places.

struct IntegerProducts {
  using Element = std::int32_t;  // two coordinates, 16 bits each
  using Sum = VecOf<float>::bits;

  static constexpr int pipelined_steps = 16;

  template <int vectors>
  struct Lanes {
    Vec<float> terms[vectors];
    Vec<float> factors[vectors];
  };

  template <int vectors>
  static Sum start(const Lanes<vectors>&, int, float) {
    return Sum{};
  }
  static Sum add(Sum sum, std::int32_t x, Sum y) { return add_pairs(sum, x + Sum{}, y); }
  template <int vectors>
  static Vec<float> finish(Sum sum, const Lanes<vectors>& lanes, int v, float row_term) {
    return __builtin_convertvector(sum, Vec<float>) * lanes.factors[v] + (lanes.terms[v] + row_term);
  }
};

/// Points of one vector as integers, in units of their own.
struct IntegerPoints {
  Vec<float> norms;    // ||y - centre||^2 before rounding
  Vec<float> rounded;  // and after
  Vec<float> units;    // length of one integer step
};

/// Points less the centre, each scaled to a norm of `integer_norm` and rounded: [pair][vectors][lanes].
template <int vectors>
inline void round_points(const LaneVectors<vectors>& points, const float* centre, Index dim, std::int32_t* pairs,
                         IntegerPoints (&rounded)[vectors]) {
  typedef VecOf<float>::bits Bits;
  constexpr float magic = 12582912.0f;  // 1.5 * 2^23: the sum's low 16 bits are the nearest integer
  constexpr int chains = 4;
  Vec<float> sums[chains][vectors] = {};
  const auto add_square = [&](Index k, int chain) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const Vec<float> y = points.at(k, v) - centre[k];
      sums[chain][v] += y * y;
    }
  };
  Index k = 0;
  for (; k + chains <= dim; k += chains)
#pragma GCC unroll 4
    for (int chain = 0; chain < chains; ++chain) add_square(k + chain, chain);
  for (; k < dim; ++k) add_square(k, 0);
  Vec<float> scales[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    const Vec<float> norm = (sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v]);
    const float smallest = 1.1754944e-38f;
    const Vec<float> length = square_root(norm > smallest ? norm : smallest - Vec<float>{});
    rounded[v].norms = norm;
    rounded[v].units = length * (1.0f / integer_norm);
    scales[v] = integer_norm / length;
  }
  Bits squares[2][vectors] = {};
  const auto round_to_bits = [&](Index coordinate, int v) {
    return reinterpret_cast<Bits>((points.at(coordinate, v) - centre[coordinate]) * scales[v] + magic);
  };
  const auto store_pair = [&](Index pair, int v, int chain, Bits both) {
    __builtin_memcpy(pairs + (pair * vectors + v) * lanes_of<float>, &both, sizeof both);
    squares[chain][v] = add_pairs(squares[chain][v], both, both);
  };
  const auto round_pair = [&](Index pair, int chain) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      store_pair(pair, v, chain, (round_to_bits(2 * pair, v) & 0xffff) | (round_to_bits(2 * pair + 1, v) << 16));
  };
  Index pair = 0;
  for (; pair + 1 < dim / 2; pair += 2) {
    round_pair(pair, 0);
    round_pair(pair + 1, 1);
  }
  if (pair < dim / 2) round_pair(pair, 0);
  if (dim % 2)
    for (int v = 0; v < vectors; ++v) store_pair(dim / 2, v, 1, round_to_bits(dim - 1, v) & 0xffff);
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v)
    rounded[v].rounded =
        __builtin_convertvector(squares[0][v] + squares[1][v], Vec<float>) * (rounded[v].units * rounded[v].units);
}

/// -ln(x) from above, for 0 < x: by the exponent's bits, at most ln 2 too much.
inline Vec<float> logarithm_bound(Vec<float> x) {
  typedef VecOf<float>::bits Bits;
  const Bits exponent = 127 - (reinterpret_cast<Bits>(x) >> 23);
  const Vec<float> bound = __builtin_convertvector(exponent, Vec<float>) * 0.69314725f;
  return bound > 0.0f ? bound : Vec<float>{};
}

struct EmbedIntegers {
  const IntegerRows& query;
  const PointTiles& tiles;
  std::int32_t* pairs;
  float* values;
  float* errors;

  template <int vectors>
  void operator()(Index first) const {
    constexpr int lanes = lanes_of<float>;
    const Index dim = query.dim, steps = (dim + 1) / 2;
    const LaneVectors<vectors> points(tiles, dim, first);
    ReadAhead ahead(tiles, dim, first, vectors * lanes);
    Vec<float> value[vectors] = {};
    Vec<float> error[vectors] = {};
    for (Index group = 0; group < query.group_count; ++group) {
      const Index begin = query.group_begin[group];
      IntegerPoints rounded[vectors];
      round_points(points, query.centres + group * dim, dim, pairs, rounded);
      BlockSums<IntegerProducts, vectors> sums{query.rows + begin * steps,
                                               query.row_terms + begin,
                                               query.group_begin[group + 1] - begin,
                                               steps,
                                               pairs,
                                               {},
                                               ahead};
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums.lanes.terms[v] = rounded[v].rounded * -query.exponent_scale;
        sums.lanes.factors[v] = rounded[v].units * query.factors[group];
      }
      Vec<float> totals[vectors] = {};
      sums.add_to(totals);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const Vec<float> total = totals[v] * exp2_unit;
        value[v] += total * (query.scales[group] * query.signs[group]);
        error[v] += error_of(group, total, rounded[v]) * query.scales[group] + query.error_floors[group];
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      store(values + first + v * lanes, value[v]);
      store(errors + first + v * lanes, error[v]);
    }
  }

  /// The bound of the header, in units of the group's scale.
  Vec<float> error_of(Index group, Vec<float> total, const IntegerPoints& points) const {
    const Vec<float> delta = query.row_deltas[group] + points.units * query.unit_delta;
    const float magnitude = query.magnitudes[group];
    const Vec<float> mean = total / magnitude;
    const Vec<float> root = square_root(logarithm_bound(mean) + 1e-3f);
    const Vec<float> moved =
        (delta * 21.0f + 1.001f) * (delta * 2.0f * (mean * root) * magnitude + delta * delta * total);
    const Vec<float> floating = total * (query.error_terms[group] + points.norms * query.error_slope);
    // So far away that every kernel value is below what float32 holds: only the floor is left.
    const Vec<float> near = points.norms * query.gamma <= integer_reach ? 1.0f + Vec<float>{} : Vec<float>{};
    return (moved + floating) * near + total * (1.0f - near);
  }
};

void embed_integers(const IntegerRows& query, const PointTiles& tiles, std::int32_t* pairs, float* values,
                    float* errors) {
  for_each_lane_vectors(tiles.count, EmbedIntegers{query, tiles, pairs, values, errors});
}
