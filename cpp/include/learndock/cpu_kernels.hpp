// SPDX-License-Identifier: Apache-2.0
//
// The innermost loops, one table of them per instruction set, all from cpu/kernels.inl. A call covers a range of tiles,
// so that the choice of the table costs nothing. Plain arrays only: see cpu/kernels.inl for why.
#pragma once

#include <cstdint>

#include "learndock/embedding.hpp"

namespace learndock {

/// Rows of a query that the float32 kernel works on together.
inline constexpr int query_block_rows = 6;

/// Tiles of points to be read, and the ones that are read after them: memory answers sooner when asked early.
struct PointTiles {
  const float* first = nullptr;
  Index count = 0;
  const float* next = nullptr;  ///< null where they lie right behind
};

/// Numbers of 32 bits of scratch memory that embed_float and embed_integers need.
constexpr Index embed_scratch_size(Index dim) { return 2 * 16 * (3 * ((dim + 1) / 2) + 15); }

/// Matrix registers of 16 pairs that a row takes for the products of split numbers: 3 (dim + 1) / 2 pairs.
constexpr Index split_steps(Index dim) { return (3 * ((dim + 1) / 2) + 15) / 16; }

/// The rows of a query for the float32 kernel, cut into groups. Each group has one sign of the weights and a centre
/// of its own, so that norms stay small: |a| exp(-gamma ||x - y||^2) = scale 2^(row_term + lane_term + <row, y -
/// centre>). Rows of a group lie in blocks of query_block_rows, [block][dim][rows]; the last one holds what is left.
struct QueryRows {
  Index dim = 0;
  Index group_count = 0;
  const Index* group_begin = nullptr;   ///< [group_count + 1] rows of each group
  const float* centres = nullptr;       ///< [group_count, dim]
  const float* signs = nullptr;         ///< [group_count] +1 or -1
  const float* error_terms = nullptr;   ///< [group_count] relative error of a kernel value, apart from the lane's part
  const float* error_floors = nullptr;  ///< [group_count] absolute error of the group's sum, where values underflow
  const float* scales = nullptr;        ///< [group_count] largest |weight| of each group
  const float* rows = nullptr;          ///< 2 gamma log2(e) (x - centre), in blocks
  /// The same as pairs of bfloat16 [high, high, low], in blocks of 16 rows [block][split_steps][row][16 pairs]: what
  /// embed_float reads where splits_rows says so, and `rows` otherwise.
  const std::uint32_t* split_rows = nullptr;
  const float* row_terms = nullptr;    ///< [rows] log2(|weight| / scale) - gamma log2(e) ||x - centre||^2
  const float* least_terms = nullptr;  ///< [group_count] the smallest of the row terms, or below
  const float* row_reaches = nullptr;  ///< [group_count] the largest norm of the rows as they are stored, or above
  float exponent_scale = 0;            ///< gamma log2(e)
  float error_slope = 0;               ///< relative error per unit of ||y - centre||^2
};

/// Norm to which the points of the integer kernel are scaled. With rows of norm at most integer_row_norm every inner
/// product stays below 2^31, also with the roundings, for dim <= integer_most_dim.
inline constexpr float integer_norm = 32000.0f;
inline constexpr double integer_row_norm = 65000.0;
inline constexpr double integer_most_coordinate = 32767.0;
inline constexpr Index integer_most_dim = 1024;

/// gamma ||y - centre||^2 above which a group's kernel values, of rows with gamma ||x - centre||^2 <= 4, all lie below
/// 2^-125.
inline constexpr float integer_reach = 225.0f;

/// The rows of a query for the integer kernel, cut into groups as above. A row is `step` integers from the centre, in
/// 16 bits: |a| exp(-gamma ||x - y||^2) = scale 2^(row_term + lane_term + factor unit <row, point>), unit the length of
/// an integer step of the point.
struct IntegerRows {
  Index dim = 0;
  Index group_count = 0;
  const Index* group_begin = nullptr;   ///< [group_count + 1]
  const float* centres = nullptr;       ///< [group_count, dim]
  const float* signs = nullptr;         ///< [group_count]
  const float* scales = nullptr;        ///< [group_count]
  const float* factors = nullptr;       ///< [group_count] 2 gamma log2(e) times the length of a row's integer step
  const float* magnitudes = nullptr;    ///< [group_count] sum of |weight| / scale
  const float* row_deltas = nullptr;    ///< [group_count] sqrt(gamma) times the largest error of a rounded row
  const float* error_terms = nullptr;   ///< [group_count] as above, of float32 alone
  const float* error_floors = nullptr;  ///< [group_count]
  const std::int32_t* rows = nullptr;   ///< pairs of coordinates, [block][pair][row], the lower one in the low bits
  const float* row_terms = nullptr;     ///< [rows] log2(|weight| / scale) - gamma log2(e) times the rounded norm^2
  float gamma = 0;
  float exponent_scale = 0;  ///< gamma log2(e)
  float unit_delta = 0;      ///< sqrt(gamma) times the largest error of a rounded point, a unit
  float error_slope = 0;     ///< relative error of float32 per unit of ||y - centre||^2
};

constexpr int cholesky_rows = 4;
constexpr Index cholesky_padding = 8;  // the lanes of the widest vector
/// A kernel value is at least 2^-(slope * squared distance + offset), but for 2^-125: learndock/herding.hpp.
struct HerdingStep {
  float slope = 0;
  float offset = 0;
};

/// x = rounded + remainder * unit of the remainder, up to the remainder's own rounding; pairs of coordinates.
struct Int16Point {
  const std::int16_t* rounded = nullptr;
  const std::int16_t* remainder = nullptr;
  float twice_remainder_unit = 0;
};

/// Candidates in a tile of a herding. Wider than `tile_lanes`, so that one stream of memory feeds four sums.
inline constexpr Index herding_lanes = 64;

/// Sketches in blocks of tile_lanes, the first stage of them, or the centres of balls; see learndock/sketch.hpp.
struct SketchBlocks {
  const std::int8_t* codes = nullptr;  ///< [count][coordinates][tile_lanes]
  const float* scales = nullptr;       ///< [coordinates]
  Index count = 0;
  Index coordinates = 0;
};

/// What the sketches of a stage are compared with.
struct SketchComparison {
  float residual = 0;
  float error = 0;                ///< taken off each distance, with the stored one
  float shrink = 0;               ///< a factor below 1 that covers the roundings of a distance, and again of its square
  float correlated_residual = 0;  ///< 2 correlation residual
};

/// A sketch around the rows' centroid, and the losses of models at its points; see learndock/local_losses.hpp.
struct SketchRows {
  const float* points = nullptr;   ///< [count, dim]
  const float* weights = nullptr;  ///< [count]
  const float* shares = nullptr;   ///< [count]
  const float* losses = nullptr;   ///< [count, models]
  Index count = 0;
  Index dim = 0;
  Index models = 0;
  float exponent_scale = 0;  ///< gamma log2(e)
};

struct CpuKernels {
  const char* name;
  bool splits_rows;  ///< whether embed_float reads split_rows

  /// values[p] = sum_i a_i k(x_i, y_p) over the rows of the query, for all points p of the tiles, in float32, and
  /// errors[p], a bound on |values[p] - exact|. `shifted` is scratch of embed_scratch_size(dim).
  void (*embed_float)(const QueryRows& query, const PointTiles& tiles, float* shifted, float* values, float* errors);

  /// The same for points and rows rounded to 16-bit integers; `pairs` is scratch of embed_scratch_size(dim). Null
  /// where the instruction set has no products of pairs.
  void (*embed_integers)(const IntegerRows& query, const PointTiles& tiles, std::int32_t* pairs, float* values,
                         float* errors);

  /// The same sum in float64 for the points begin .. end - 1 of the tiles, with squared distances as sums of squared
  /// differences: no digit is lost to an offset. `values` has room for all points of the tiles that hold these; some of
  /// the others are written, too.
  void (*embed_double)(const Embedding& query, double gamma, const double* tiles, Index begin, Index end,
                       double* values);

  /// Exactly that for tiles of float; `widened` is scratch of dim * tile_lanes.
  void (*embed_double_of_float)(const Embedding& query, double gamma, const float* tiles, Index begin, Index end,
                                double* widened, double* values);

  /// For one tile of points z: mass[lane] += sum_i w_i k(x_i, z_lane), and as differences, which lose no digit far from
  /// the origin, moments[k][lane] += sum_i w_i k(x_i, z_lane) (z_lane,k - x_ik). `moments` may be null.
  void (*add_moments_double)(const double* rows, const double* weights, Index row_count, Index dim, double gamma,
                             const double* tile, double* mass, double* moments);

  /// The same in float32 for gamma = 1 and rows that lie in tiles, all of weight 1 and near the origin: the moments are
  /// differences of sums. Sums of more than 256 rows are float64. `scratch`, for the moments, is of dim * tile_lanes.
  void (*add_moments_float)(const float* row_tiles, Index row_count, Index dim, const float* tile, float* scratch,
                            double* mass, double* moments);

  /// sum = sum_p weights[p] values[p] and error = sum_p |weights[p]| errors[p], in float64.
  void (*weighted_sums)(const float* weights, const float* values, const float* errors, Index count, double* sum,
                        double* error);

  /// to[r][j] -= sum_m factors[m][r] rows[m][j] for r < cholesky_rows, j < columns, all with rows of `stride`: what a
  /// Cholesky factorisation spends its time on. Columns are read and written up to the next multiple of
  /// cholesky_padding.
  void (*subtract_products)(const double* rows, Index row_count, Index stride, const double* factors, double* to,
                            Index columns);

  /// bounds[p] += rises[p] - (a lower bound of the kernel value of p and `point`), rounded up, for all lanes of the
  /// tiles [dim][herding_lanes]. highest[tile] = the highest bound of its lanes.
  void (*raise_bounds_float)(const float* tiles, const float* point, Index dim, Index tiles_count,
                             const HerdingStep& step, const float* rises, float* bounds, float* highest);

  /// The same for points of int16 in pairs of coordinates, tiles [pair_count][herding_lanes][2]; the squared distance
  /// is ||y - rounded||^2 - 2 <y - rounded, remainder>, so its constant term ||remainder||^2 belongs to the offset.
  /// Differences y - rounded must fit into int16, both products into int32.
  void (*raise_bounds_int16)(const std::int16_t* tiles, const Int16Point& point, Index pair_count, Index tiles_count,
                             const HerdingStep& step, const float* rises, float* bounds, float* highest);

  /// sums[q * sum_stride + p] += sum_i (scales[i] codes[i][p] - coordinates[q * query_stride + i])^2 for all lanes p of
  /// the blocks.
  void (*sketch_distances)(const SketchBlocks& blocks, const float* coordinates, Index query_count, Index query_stride,
                           float* sums, Index sum_stride);

  /// sum_i (scales[i] codes[i] - coordinates[i])^2.
  float (*sketch_row_distance)(const std::int8_t* codes, const float* scales, const float* coordinates, Index count);

  /// Of these sums, lower bounds of MMD^2. Bit i of at_most[block] is set where that of lane i is at most the limit.
  void (*sketch_bounds)(const float* sums, const float* residuals, const float* errors, Index blocks,
                        const SketchComparison& with, float limit, float* bounds, std::uint16_t* at_most);

  /// The upper halves of their bits, which are those of bounds too and order alike.
  void (*short_bounds)(const float* sums, const float* residuals, const float* errors, Index blocks,
                       const SketchComparison& with, std::int16_t* halves);

  /// Guesses of MMD^2, likewise.
  void (*sketch_guesses)(const float* sums, const float* residuals, Index blocks, const SketchComparison& with,
                         float limit, float* guesses, std::uint16_t* at_most);

  /// Bit i of at_most[block] is set where lane i of the block [blocks][tile_lanes] is at most the limit.
  void (*halves_at_most)(const std::int16_t* halves, Index blocks, std::int16_t limit, std::uint16_t* at_most);

  /// cosines[j] = sum_i w_i cos <frequency_j, x_i> and sines[j] for the frequencies of the tiles, in quarter turns for
  /// each unit of length; phases stay below 2^50.
  void (*wave_sums)(const Embedding& of, const double* tiles, Index tiles_count, double* cosines, double* sines);

  /// For one block of stored features [frequency][cosine, sine][tile_lanes], f_P, and f_Q as waves [frequency][cosine,
  /// sine]: the sums of x[j] = Re f_P[j] conj(f_Q[j]) and of x[j]^2, in units of the codes.
  void (*feature_products)(const std::int8_t* codes, const float* waves, Index frequency_count, float* products,
                           float* squares);

  /// For one tile of rows x: losses[m][lane] += sum_p shares[p] k(x, z_p)^4 losses[p][m], mass[lane] = sum_p shares[p]
  /// k(x, z_p)^4, embedding[lane] = sum_p weights[p] k(x, z_p). `kernel` is scratch of count * tile_lanes.
  void (*local_losses)(const SketchRows& sketch, const float* tile, float* kernel, float* losses, float* mass,
                       float* embedding);
};

extern const CpuKernels baseline_kernels;
extern const CpuKernels amx_twin_kernels;
extern const CpuKernels avx2_kernels;
extern const CpuKernels avx512_kernels;
extern const CpuKernels avx512vnni_kernels;
extern const CpuKernels amx_kernels;

}  // namespace learndock
