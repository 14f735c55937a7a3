// SPDX-License-Identifier: Apache-2.0
//
// What the gradient of a reduced set needs: weighted sums over rows of kernel values and of their first moments.

template <int together>
inline void add_moments_of_rows(const double* rows, const double* weights, Index count, Index dim,
                                double exponent_scale, const double* tile, Vec<double>* mass, double* moments) {
  constexpr int parts = parts_of<double>;
  Index row = 0;
  for (; row + together <= count; row += together) {
    const double* block = rows + row * dim;
    Vec<double> kernel[together][parts];
    kernel_values<together>(block, dim, exponent_scale, tile, kernel);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        kernel[r][part] *= weights[row + r];
        mass[part] += kernel[r][part];
      }
    for (Index k = 0; k < (moments ? dim : 0); ++k)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        double* at = moments + k * tile_lanes + part * lanes_of<double>;
        const Vec<double> z = load(tile + k * tile_lanes + part * lanes_of<double>);
        Vec<double> moment = load(at);
#pragma GCC unroll 8
        for (int r = 0; r < together; ++r) moment += kernel[r][part] * (z - block[r * dim + k]);
        store(at, moment);
      }
  }
  if constexpr (together > 1)
    add_moments_of_rows<together / 2>(rows + row * dim, weights + row, count - row, dim, exponent_scale, tile, mass,
                                      moments);
}

void add_moments_double(const double* rows, const double* weights, Index row_count, Index dim, double gamma,
                        const double* tile, double* mass, double* moments) {
  constexpr int parts = parts_of<double>;
  Vec<double> sums[parts];
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) sums[part] = load(mass + part * lanes_of<double>);
  add_moments_of_rows<rows_together<double>>(rows, weights, row_count, dim, gamma * log2_e, tile, sums, moments);
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) store(mass + part * lanes_of<double>, sums[part]);
}

/// Rows of a tile whose kernel values are in registers at once: the more, the fewer times a moment is loaded and
/// stored.
constexpr int moment_rows = (LEARNDOCK_VECTOR_BYTES == 64 ? 2 : 1) * rows_together<float>;

// With gamma = 1: mass += sum_r k(x_r, z) and moments[k] += sum_r k(x_r, z) x_rk over `count` rows of a tile, of which
// `rows` is the first.
template <int together>
inline void add_tile_moments(const float* rows, Index count, Index dim, const float* tile, Vec<float>* mass,
                             float* moments) {
  constexpr int parts = parts_of<float>;
  constexpr int lanes = lanes_of<float>;
  // Smaller kernel values are 0: their products with coordinates could be denormal, which is slow.
  const float negligible = -100.0f;
  Index row = 0;
  for (; row + together <= count; row += together) {
    const float* x = rows + row;
    Vec<float> kernel[together][parts] = {};
    for (Index k = 0; k < dim; ++k)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        const Vec<float> z = load(tile + k * tile_lanes + part * lanes);
#pragma GCC unroll 16
        for (int r = 0; r < together; ++r) {
          const Vec<float> difference = z - x[k * tile_lanes + r];
          kernel[r][part] += difference * difference;
        }
      }
#pragma GCC unroll 16
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        const Vec<float> exponent = kernel[r][part] * -static_cast<float>(log2_e);
        kernel[r][part] = exponent < negligible ? Vec<float>{} : exp2(exponent);
        mass[part] += kernel[r][part];
      }
    for (Index k = 0; k < (moments ? dim : 0); ++k)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        // Two chains of additions: the latency of one would not be hidden.
        float* at = moments + k * tile_lanes + part * lanes;
        Vec<float> moment[2] = {load(at)};
#pragma GCC unroll 16
        for (int r = 0; r < together; ++r) moment[r % 2] += kernel[r][part] * x[k * tile_lanes + r];
        store(at, moment[0] + moment[1]);
      }
  }
  if constexpr (together > 1) add_tile_moments<together / 2>(rows + row, count - row, dim, tile, mass, moments);
}

void add_moments_float(const float* row_tiles, Index row_count, Index dim, const float* tile, float* scratch,
                       double* mass, double* moments) {
  constexpr int parts = parts_of<float>;
  // Rows summed in float32 before their sum is added in float64: 256 roundings, 1.5e-5 at the very worst.
  constexpr Index block = 256;
  const Index moment_count = moments ? dim * tile_lanes : 0;
  for (Index begin = 0; begin < row_count; begin += block) {
    const Index end = row_count - begin < block ? row_count : begin + block;
    for (Index i = 0; i < moment_count; ++i) scratch[i] = 0;
    Vec<float> sums[parts] = {};
    for (Index row = begin; row < end; row += tile_lanes)
      add_tile_moments<moment_rows>(row_tiles + row * dim, end - row < tile_lanes ? end - row : tile_lanes, dim, tile,
                                    sums, moments ? scratch : nullptr);
    float block_mass[tile_lanes];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) store(block_mass + part * lanes_of<float>, sums[part]);
    double wide_mass[tile_lanes];
    for (Index lane = 0; lane < tile_lanes; ++lane) wide_mass[lane] = static_cast<double>(block_mass[lane]);
    for (Index lane = 0; lane < tile_lanes; ++lane) mass[lane] += wide_mass[lane];
    for (Index i = 0; i < moment_count; i += tile_lanes)
      for (Index lane = 0; lane < tile_lanes; ++lane)
        moments[i + lane] +=
            wide_mass[lane] * static_cast<double>(tile[i + lane]) - static_cast<double>(scratch[i + lane]);
  }
}
