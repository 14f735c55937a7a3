// SPDX-License-Identifier: Apache-2.0
//
// The products of a Cholesky factorisation: four rows of U at a time, so that a number of U once loaded serves four.

constexpr int cholesky_tile = 2;  // vectors: eight accumulators, which cover the latency of two FMAs a cycle

template <int vectors>
inline void subtract_tile(const double* rows, Index row_count, Index stride, const double* factors, double* to) {
  constexpr int lanes = lanes_of<double>;
  Vec<double> sums[cholesky_rows][vectors];
  for (int r = 0; r < cholesky_rows; ++r)
    for (int v = 0; v < vectors; ++v) sums[r][v] = load(to + r * stride + v * lanes);
  for (Index m = 0; m < row_count; ++m) {
    Vec<double> row[vectors];
    for (int v = 0; v < vectors; ++v) row[v] = load(rows + m * stride + v * lanes);
    for (int r = 0; r < cholesky_rows; ++r) {
      const double factor = factors[m * stride + r];
      for (int v = 0; v < vectors; ++v) sums[r][v] -= factor * row[v];
    }
  }
  for (int r = 0; r < cholesky_rows; ++r)
    for (int v = 0; v < vectors; ++v) store(to + r * stride + v * lanes, sums[r][v]);
}

inline void subtract_products(const double* rows, Index row_count, Index stride, const double* factors, double* to,
                              Index columns) {
  constexpr int lanes = lanes_of<double>;
  Index j = 0;
  for (; j + cholesky_tile * lanes <= columns; j += cholesky_tile * lanes)
    subtract_tile<cholesky_tile>(rows + j, row_count, stride, factors, to + j);
  for (; j < columns; j += lanes) subtract_tile<1>(rows + j, row_count, stride, factors, to + j);
}
