// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at points, in float32 with a bound on the error.

struct FloatProducts {
  using Element = float;
  using Sum = Vec<float>;

  static constexpr int pipelined_steps = 8;

  template <int vectors>
  struct Lanes {
    Vec<float> terms[vectors];
  };

  template <int vectors>
  static Sum start(const Lanes<vectors>& lanes, int v, float row_term) {
    return lanes.terms[v] + row_term;
  }
  static Sum add(Sum sum, float x, Sum y) { return sum + x * y; }
  template <int vectors>
  static Vec<float> finish(Sum sum, const Lanes<vectors>&, int, float) {
    return sum;
  }
};

/// Points less the centre, [dim][vectors][lanes], and their squared norms.
template <int vectors>
inline void shift_lanes(const LaneVectors<vectors>& points, const float* centre, Index dim, float* shifted,
                        Vec<float> (&norms)[vectors]) {
  constexpr int chains = 4;  // one sum alone would wait for each of its additions
  Vec<float> sums[chains][vectors] = {};
  const auto shift = [&](Index k, int chain) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const Vec<float> y = points.at(k, v) - centre[k];
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

template <bool value>
struct Clamped {
  static constexpr bool on = value;
};

struct EmbedFloat {
  const QueryRows& query;
  const PointTiles& tiles;
  float* shifted;
  float* values;
  float* errors;

  /// Whether no exponent of a group's rows at points of these squared norms is below -124, by Cauchy and Schwarz:
  /// least_term - scale n - reach sqrt(n). A lane whose norm is no number has none that matters: its bound isn't one.
  template <int vectors>
  bool far_from_clamp(Index group, const Vec<float> (&norms)[vectors]) const {
    float largest = largest_lane(norms[0]);
    for (int v = 1; v < vectors; ++v) {
      const float other = largest_lane(norms[v]);
      largest = largest > other ? largest : other;
    }
    const float room = query.least_terms[group] + 124.0f - query.exponent_scale * largest;
    const float reach = query.row_reaches[group];
    return room >= 0 && reach * reach * largest <= room * room;
  }

  template <int vectors>
  void operator()(Index first) const {
    constexpr int lanes = lanes_of<float>;
    const Index dim = query.dim;
    const LaneVectors<vectors> points(tiles, dim, first);
    ReadAhead ahead(tiles, dim, first, vectors * lanes);
    Vec<float> value[vectors] = {};
    Vec<float> error[vectors] = {};
    for (Index group = 0; group < query.group_count; ++group) {
      const Index begin = query.group_begin[group];
      Vec<float> norms[vectors];
      shift_lanes(points, query.centres + group * dim, dim, shifted, norms);
      Vec<float> totals[vectors] = {};
      const auto add = [&](auto clamped) {
        BlockSums<FloatProducts, vectors, decltype(clamped)::on> sums{query.rows + begin * dim,
                                                                      query.row_terms + begin,
                                                                      query.group_begin[group + 1] - begin,
                                                                      dim,
                                                                      shifted,
                                                                      {},
                                                                      ahead};
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums.lanes.terms[v] = norms[v] * -query.exponent_scale;
        sums.add_to(totals);
      };
      if constexpr (clamping_costs) {
        if (far_from_clamp(group, norms))
          add(Clamped<false>{});
        else
          add(Clamped<true>{});
      } else {
        add(Clamped<true>{});
      }
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const Vec<float> total = totals[v] * (query.scales[group] * exp2_unit);
        value[v] += total * query.signs[group];
        error[v] += total * (query.error_terms[group] + norms[v] * query.error_slope);
        error[v] += query.error_floors[group];
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      store(values + first + v * lanes, value[v]);
      store(errors + first + v * lanes, error[v]);
    }
  }
};

void embed_float(const QueryRows& query, const PointTiles& tiles, float* shifted, float* values, float* errors) {
  for_each_lane_vectors(tiles.count, EmbedFloat{query, tiles, shifted, values, errors});
}
