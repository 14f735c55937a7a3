// SPDX-License-Identifier: Apache-2.0
//
// Embeddings evaluated at points by products of matrices of bfloat16. Each number is split into two, x = xh + xl, with
// 16 significant bits together, and x y = xh yh + xh yl + xl yh but for 3 * 2^-16 |x| |y|: rows are laid out as
// [xh, xh, xl], points as [yh, yl, yh], and one matrix product over that length is the inner product.

#include "matrix_tiles.inl"

/// x rounded to bfloat16, as a float.
inline Vec<float> round_to_bfloat16(Vec<float> x) {
  typedef VecOf<float>::bits Bits;
  return reinterpret_cast<Vec<float>>((reinterpret_cast<Bits>(x) + 0x8000) & static_cast<std::int32_t>(0xffff0000u));
}

/// Two floats that are bfloat16, in one lane.
inline VecOf<float>::bits pair_of(Vec<float> low, Vec<float> high) {
  typedef VecOf<float>::bits Bits;
  return ((reinterpret_cast<Bits>(low) >> 16) & 0xffff) | reinterpret_cast<Bits>(high);
}

/// One tile of points less the centre, as pairs [split_steps(dim) * 16][tile_lanes], and their squared norms.
inline void split_tile(const float* tile, const float* centre, Index dim, std::uint32_t* pairs, float* norms) {
  constexpr int lanes = lanes_of<float>;
  const Index count = (dim + 1) / 2;
  for (int part = 0; part < parts_of<float>; ++part) {
    Vec<float> sums[2] = {};
    const auto shifted = [&](Index k) {
      return k < dim ? load(tile + k * tile_lanes + part * lanes) - centre[k] : Vec<float>{};
    };
    const auto put = [&](Index pair, VecOf<float>::bits both) {
      __builtin_memcpy(pairs + pair * tile_lanes + part * lanes, &both, sizeof both);
    };
    for (Index p = 0; p < count; ++p) {
      const Vec<float> y0 = shifted(2 * p), y1 = shifted(2 * p + 1);
      sums[0] += y0 * y0;
      sums[1] += y1 * y1;
      const Vec<float> h0 = round_to_bfloat16(y0), h1 = round_to_bfloat16(y1);
      const VecOf<float>::bits high = pair_of(h0, h1);
      put(p, high);
      put(count + p, pair_of(round_to_bfloat16(y0 - h0), round_to_bfloat16(y1 - h1)));
      put(2 * count + p, high);
    }
    for (Index p = 3 * count; p < split_steps(dim) * tile_register_pairs; ++p) put(p, VecOf<float>::bits{});
    store(norms + part * lanes, sums[0] + sums[1]);
  }
}

struct EmbedSplit {
  const QueryRows& query;
  Index steps;
  MatrixTiles& registers;

  /// products = rows of a block times the points of two tiles; each `steps` registers long.
  template <int first_products, int rows>
  void multiply(const std::uint32_t* block, Index block_rows, const std::uint32_t* const (&points)[2]) const {
    registers.template zero<first_products>();
    registers.template zero<first_products + 1>();
    for (Index step = 0; step < steps; ++step) {
      registers.template load<rows>(block + step * block_rows * tile_register_pairs);
      registers.template load<points_0>(points[0] + step * tile_register_rows * tile_register_pairs);
      registers.template multiply<first_products, rows, points_0>();
      registers.template load<points_1>(points[1] + step * tile_register_rows * tile_register_pairs);
      registers.template multiply<first_products + 1, rows, points_1>();
    }
  }

  /// totals += sum over the rows of 2^(product + row_term + lane_term).
  static void add_exponentials_of(const float* products, const float* row_terms, Index rows, const float* lane_terms,
                                  float* totals) {
    constexpr int lanes = lanes_of<float>;
    for (int part = 0; part < parts_of<float>; ++part) {
      const Vec<float> lane_term = load(lane_terms + part * lanes);
      Vec<float> sums[2] = {};
      for (Index r = 0; r < rows; ++r)
        sums[r % 2] =
            add_exp2(sums[r % 2], load(products + r * tile_lanes + part * lanes) + (lane_term + row_terms[r]));
      store(totals + part * lanes, load(totals + part * lanes) + (sums[0] + sums[1]));
    }
  }
};

/// Scratch: pairs of two tiles [2][split_steps * 16][16].
void embed_split(const QueryRows& query, const PointTiles& tiles, float* scratch, float* values, float* errors) {
  const Index dim = query.dim, steps = split_steps(dim);
  const Index pairs_of_tile = steps * tile_register_rows * tile_lanes;
  int last = tile_register_rows;
  MatrixTiles registers(last);
  const EmbedSplit embed{query, steps, registers};
  alignas(64) float products[2][2][tile_register_rows * tile_lanes];  // of two blocks: one is summed beside the next
  alignas(64) float norms[2][tile_lanes], lane_terms[2][tile_lanes], totals[2][tile_lanes];
  for (Index t = 0; t < tiles.count; t += 2) {
    const int here = t + 1 < tiles.count ? 2 : 1;
    ReadAhead ahead(tiles, dim, t * tile_lanes, here * tile_lanes);
    for (int v = 0; v < here; ++v)
      for (Index lane = 0; lane < tile_lanes; ++lane)
        values[(t + v) * tile_lanes + lane] = errors[(t + v) * tile_lanes + lane] = 0;
    for (Index group = 0; group < query.group_count; ++group) {
      const Index begin = query.group_begin[group], count = query.group_begin[group + 1] - begin;
      std::uint32_t* pairs = reinterpret_cast<std::uint32_t*>(scratch);
      for (int v = 0; v < here; ++v) {
        split_tile(tiles.first + (t + v) * dim * tile_lanes, query.centres + group * dim, dim,
                   pairs + v * pairs_of_tile, norms[v]);
        for (Index lane = 0; lane < tile_lanes; ++lane) {
          lane_terms[v][lane] = norms[v][lane] * -query.exponent_scale;
          totals[v][lane] = 0;
        }
      }
      const std::uint32_t* const points[2] = {pairs, pairs + (here - 1) * pairs_of_tile};
      const std::uint32_t* rows = query.split_rows + begin * steps * tile_register_pairs;
      const float* terms = query.row_terms + begin;
      const auto add = [&](Index block, Index block_rows) {
        for (int v = 0; v < here; ++v)
          EmbedSplit::add_exponentials_of(products[block % 2][v], terms + block * tile_register_rows, block_rows,
                                          lane_terms[v], totals[v]);
      };
      const Index blocks = count / tile_register_rows;
      const int rest = static_cast<int>(count % tile_register_rows);
      if (rest && rest != last) registers.shape_last(last = rest);
      const int lines = ahead.in_parts(blocks);
      if (blocks == 0) ahead.ask(lines);
      for (Index b = 0; b < blocks; ++b) {
        ahead.ask(lines);
        embed.multiply<products_0, rows_of_block>(rows + b * tile_register_rows * steps * tile_register_pairs,
                                                  tile_register_rows, points);
        registers.store<products_0>(products[b % 2][0]);
        registers.store<products_1>(products[b % 2][1]);
        if (b > 0) add(b - 1, tile_register_rows);
      }
      if (rest) {
        embed.multiply<last_products_0, last_rows>(rows + blocks * tile_register_rows * steps * tile_register_pairs,
                                                   rest, points);
        registers.store<last_products_0>(products[blocks % 2][0]);
        registers.store<last_products_1>(products[blocks % 2][1]);
      }
      if (blocks > 0) add(blocks - 1, tile_register_rows);
      if (rest) add(blocks, rest);
      for (int v = 0; v < here; ++v)
        for (Index lane = 0; lane < tile_lanes; ++lane) {
          const Index at = (t + v) * tile_lanes + lane;
          const float total = totals[v][lane] * (query.scales[group] * exp2_unit);
          values[at] += total * query.signs[group];
          errors[at] += total * (query.error_terms[group] + norms[v][lane] * query.error_slope);
          errors[at] += query.error_floors[group];
        }
    }
  }
}
