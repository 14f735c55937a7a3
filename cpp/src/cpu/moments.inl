// SPDX-License-Identifier: Apache-2.0
//
// What the gradient of a reduced set needs of the data: sums over rows of kernel values and of their moments.

template <int together>
inline void add_moments_of_rows(const double* rows, Index count, Index dim, double exponent_scale, const double* tile,
                                Vec<double>* mass, double* moments) {
  constexpr int parts = parts_of<double>;
  Index row = 0;
  for (; row + together <= count; row += together) {
    const double* block = rows + row * dim;
    Vec<double> kernel[together][parts];
    kernel_values<together>(block, dim, exponent_scale, tile, kernel);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) mass[part] += kernel[r][part];
    for (Index k = 0; k < dim; ++k)
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
    add_moments_of_rows<together / 2>(rows + row * dim, count - row, dim, exponent_scale, tile, mass, moments);
}

void add_moments(const double* rows, Index row_count, Index dim, double gamma, const double* tile, double* mass,
                 double* moments) {
  constexpr int parts = parts_of<double>;
  Vec<double> sums[parts];
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) sums[part] = load(mass + part * lanes_of<double>);
  add_moments_of_rows<rows_together<double>>(rows, row_count, dim, gamma * log2_e, tile, sums, moments);
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) store(mass + part * lanes_of<double>, sums[part]);
}
