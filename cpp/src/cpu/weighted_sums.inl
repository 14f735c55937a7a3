// SPDX-License-Identifier: Apache-2.0
//
// Sums over the points of an embedding, in float64.

void weighted_sums(const float* weights, const float* values, const float* errors, Index count, double* sum,
                   double* error) {
  constexpr int lanes = lanes_of<double>;
  constexpr int chains = 2;  // one sum alone would wait for each of its additions
  typedef float Narrow __attribute__((vector_size(LEARNDOCK_VECTOR_BYTES / 2)));
  const auto widen = [](const float* from) {
    Narrow narrow;
    __builtin_memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, Vec<double>);
  };
  Vec<double> sums[chains] = {}, bounds[chains] = {};
  const auto add = [&](Index p, int chain) {
    const Vec<double> weight = widen(weights + p), bound = weight * widen(errors + p);
    sums[chain] += weight * widen(values + p);
    bounds[chain] += bound < 0.0 ? -bound : bound;
  };
  Index p = 0;
  for (; p + chains * lanes <= count; p += chains * lanes) {
    add(p, 0);
    add(p + lanes, 1);
  }
  if (p + lanes <= count) {
    add(p, 0);
    p += lanes;
  }
  const Vec<double> total = sums[0] + sums[1], total_bound = bounds[0] + bounds[1];
  double rest = 0, rest_bound = 0;
  for (; p < count; ++p) {
    const double weight = static_cast<double>(weights[p]);
    rest += weight * static_cast<double>(values[p]);
    rest_bound += (weight < 0 ? -weight : weight) * static_cast<double>(errors[p]);
  }
  for (int lane = 0; lane < lanes; ++lane) {
    rest += total[lane];
    rest_bound += total_bound[lane];
  }
  *sum = rest;
  *error = rest_bound;
}
