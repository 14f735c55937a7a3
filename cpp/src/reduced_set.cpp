// SPDX-License-Identifier: Apache-2.0
#include "learndock/reduced_set.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "lbfgs.hpp"
#include "learndock/instruction_set.hpp"
#include "learndock/kernel_sums.hpp"
#include "learndock/simplex_qp.hpp"

namespace learndock {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Parts into which the rows are cut for the threads; fixed, so that sums do not depend on the number of threads.
constexpr Index row_parts = 8;

/// Ridge of the free weights, as a share of K's diagonal (which is 1): the reference's 1e-5 gives weights away.
constexpr double free_ridge = 1e-10;

struct Problem {
  const double* rows;
  Index n, dim, K;
  double gamma;
  WeightRule rule;
  ThreadTeam& team;
  double length;      // 1 / sqrt(gamma): the unit of the variables
  double data_norm2;  // <mu_X, mu_X>

  // Of the latest evaluation.
  std::vector<double> mean;     // m_j [K]
  std::vector<double> moments;  // 1/n sum_i k(x_i, z_j) (z_j - x_i) [K, dim]

  void evaluate_data(const double* points) {
    const Index tiles = tile_count(K);
    const Index tile_size = dim * tile_lanes;
    std::vector<double> packed(tiles * tile_size);
    pack_points(points, K, dim, packed.data());
    std::vector<double> mass_parts(row_parts * tiles * tile_lanes, 0.0);
    std::vector<double> moment_parts(row_parts * tiles * tile_size, 0.0);
    team.for_each(row_parts * tiles, [&](Index chunk, int) {
      const Index part = chunk % row_parts, tile = chunk / row_parts;
      const Index begin = n * part / row_parts, end = n * (part + 1) / row_parts;
      active_kernels().add_moments(rows + begin * dim, end - begin, dim, gamma, packed.data() + tile * tile_size,
                                   mass_parts.data() + chunk * tile_lanes, moment_parts.data() + chunk * tile_size);
    });
    mean.assign(K, 0.0);
    moments.assign(K * dim, 0.0);
    const double share = 1.0 / static_cast<double>(n);
    for (Index j = 0; j < K; ++j) {
      const Index tile = j / tile_lanes, lane = j % tile_lanes;
      for (Index part = 0; part < row_parts; ++part) {
        const Index chunk = tile * row_parts + part;
        mean[j] += share * mass_parts[chunk * tile_lanes + lane];
        for (Index k = 0; k < dim; ++k)
          moments[j * dim + k] += share * moment_parts[chunk * tile_size + k * tile_lanes + lane];
      }
    }
  }

  /// work(j) for the K points, a few at a time.
  void for_each_point(const std::function<void(Index)>& work) const {
    constexpr Index together = 16;
    team.for_each((K + together - 1) / together, [&](Index chunk, int) {
      for (Index j = chunk * together; j < std::min(K, (chunk + 1) * together); ++j) work(j);
    });
  }

  Matrix gram(const double* points) const {
    const Eigen::Map<const Matrix> Z(points, K, dim);
    Matrix result(K, K);
    for_each_point([&](Index j) {
      for (Index l = 0; l < K; ++l) result(j, l) = std::exp(-gamma * (Z.row(j) - Z.row(l)).squaredNorm());
    });
    return result;
  }

  /// Variables: points / length, then for the weights beta_j = t_j^2 / K (nonnegative), the softmax of t (simplex) or
  /// t_j / K (free).
  void split(const std::vector<double>& x, std::vector<double>& points, std::vector<double>& weights) const {
    points.resize(K * dim);
    for (Index i = 0; i < K * dim; ++i) points[i] = x[i] * length;
    weights.assign(x.begin() + K * dim, x.end());
    const double share = 1 / static_cast<double>(K);
    switch (rule) {
      case WeightRule::nonnegative:
        for (double& w : weights) w *= w * share;
        return;
      case WeightRule::free:
        for (double& w : weights) w *= share;
        return;
      case WeightRule::simplex: {
        const double largest = *std::max_element(weights.begin(), weights.end());
        double sum = 0;
        for (double& w : weights) sum += w = std::exp(w - largest);
        for (double& w : weights) w /= sum;
      }
    }
  }

  /// The squared MMD, and its gradient in the variables.
  double objective(const std::vector<double>& x, std::vector<double>& gradient) {
    std::vector<double> points, weights;
    split(x, points, weights);
    evaluate_data(points.data());
    const Matrix kernel = gram(points.data());
    const Eigen::Map<const Eigen::VectorXd> beta(weights.data(), K), m(mean.data(), K);
    const Eigen::Map<const Matrix> Z(points.data(), K, dim), V(moments.data(), K, dim);
    const Eigen::VectorXd smoothed = kernel * beta;
    const Eigen::VectorXd weight_gradient = 2 * (smoothed - m);
    // d/dz_j = -4 gamma beta_j [ sum_l beta_l k_jl (z_j - z_l) - 1/n sum_i k(x_i, z_j) (z_j - x_i) ]
    Eigen::Map<Matrix> point_gradient(gradient.data(), K, dim);
    for_each_point([&](Index j) {
      Eigen::RowVectorXd pull = -V.row(j);
      for (Index l = 0; l < K; ++l) pull += (weights[l] * kernel(j, l)) * (Z.row(j) - Z.row(l));
      point_gradient.row(j) = (-4 * gamma * length * weights[j]) * pull;
    });
    Eigen::Map<Eigen::VectorXd> variable_gradient(gradient.data() + K * dim, K);
    const Eigen::Map<const Eigen::VectorXd> variables(x.data() + K * dim, K);
    switch (rule) {
      case WeightRule::nonnegative:
        variable_gradient = variables.cwiseProduct(weight_gradient) * (2 / static_cast<double>(K));
        break;
      case WeightRule::free:
        variable_gradient = weight_gradient / static_cast<double>(K);
        break;
      case WeightRule::simplex:
        variable_gradient = beta.cwiseProduct((weight_gradient.array() - weight_gradient.dot(beta)).matrix());
        break;
    }
    return beta.dot(smoothed) - 2 * beta.dot(m) + data_norm2;
  }
};

}  // namespace

ReducedSet fit_reduced_set(const double* rows, Index n, Index dim, const double* start, Index K, double gamma,
                           WeightRule rule, Index max_evaluations, ThreadTeam& team) {
  Problem problem{rows, n, dim, K, gamma, rule, team, 1 / std::sqrt(gamma), mean_kernel(rows, n, dim, gamma, team),
                  {},   {}};
  std::vector<double> x(K * dim + K, 1.0);  // equal weights 1 / K under every rule
  for (Index i = 0; i < K * dim; ++i) x[i] = start[i] / problem.length;
  // One evaluation is kept for the weights at the end.
  LbfgsResult found{x, 0, 0};
  if (max_evaluations > 1)
    found = minimise_lbfgs(
        [&](const std::vector<double>& at, std::vector<double>& gradient) { return problem.objective(at, gradient); },
        std::move(x), max_evaluations - 1);

  ReducedSet result;
  result.evaluations = found.evaluations + 1;
  problem.split(found.x, result.points, result.weights);
  // The weights, exactly, at the points found. m is recomputed: the latest evaluation may have been a rejected step.
  problem.evaluate_data(result.points.data());
  const Matrix kernel = problem.gram(result.points.data());
  const Eigen::Map<const Eigen::VectorXd> m(problem.mean.data(), K);
  Eigen::Map<Eigen::VectorXd> beta(result.weights.data(), K);
  switch (rule) {
    case WeightRule::nonnegative:
      nonnegative_qp(kernel.data(), m.data(), K, result.weights.data(), /*warm=*/true);
      break;
    case WeightRule::simplex:
      simplex_qp(kernel.data(), m.data(), K, result.weights.data(), /*warm=*/true);
      break;
    case WeightRule::free:
      beta = (kernel + free_ridge * Matrix::Identity(K, K)).ldlt().solve(m).eval();
      break;
  }
  result.mmd2 = std::max(0.0, beta.dot(kernel * beta) - 2 * beta.dot(m) + problem.data_norm2);
  return result;
}

double mean_kernel(const double* rows, Index n, Index dim, double gamma, ThreadTeam& team) {
  constexpr Index block = 256;  // rows, a whole number of tiles; also keeps float32 sums short
  static_assert(block % tile_lanes == 0, "a block must end where a tile ends");
  constexpr Index most_in_double = 16384;
  // Narrowing a row at distance R from the mean moves it by u R, and a kernel value by up to 2 sqrt(gamma) u R.
  constexpr double largest_radius = 100;  // sqrt(gamma) R: then 1.2e-5
  const Eigen::Map<const Matrix> X(rows, n, dim);
  const Eigen::RowVectorXd mean = X.colwise().mean();
  const bool in_float = n > most_in_double && gamma * (X.rowwise() - mean).rowwise().squaredNorm().maxCoeff() <=
                                                  largest_radius * largest_radius;
  const Index tile_size = dim * tile_lanes;
  const std::vector<double> ones(block, 1.0);
  std::vector<double> packed, centred;
  std::vector<float> packed_float;
  if (in_float) {
    // Narrowed around the mean: far from the origin float32 would round the rows themselves.
    centred.resize(n * dim);
    Eigen::Map<Matrix>(centred.data(), n, dim) = X.rowwise() - mean;
    rows = centred.data();
    const std::vector<float> narrowed(centred.begin(), centred.end());
    packed_float.resize(tile_count(n) * tile_size);
    pack_points(narrowed.data(), n, dim, packed_float.data());
  } else {
    packed.resize(tile_count(n) * tile_size);
    pack_points(rows, n, dim, packed.data());
  }
  const Index blocks = (n + block - 1) / block;
  std::vector<double> sums(blocks, 0.0);
  team.for_each(blocks, [&](Index b, int) {
    // This block's rows against its own points (once) and those of all later blocks (twice, for symmetry).
    const Index begin = b * block, end = std::min(n, begin + block);
    const Index first_tile = begin / tile_lanes, tiles = tile_count(n) - first_tile;
    const Embedding query{rows + begin * dim, ones.data(), end - begin, dim};
    std::vector<double> values(tiles * tile_lanes);
    if (in_float) {
      std::vector<float> shifted(tile_size), values_float(values.size()), errors(values.size());
      PreparedQuery(query, gamma)
          .embed(packed_float.data() + first_tile * tile_size, tiles, shifted.data(), values_float.data(),
                 errors.data());
      values.assign(values_float.begin(), values_float.end());
    } else {
      active_kernels().embed_double(query, gamma, packed.data() + first_tile * tile_size, tiles, values.data());
    }
    double sum = 0;
    for (Index p = begin; p < n; ++p) sum += (p < end ? 1 : 2) * values[p - begin];
    sums[b] = sum;
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total / (static_cast<double>(n) * static_cast<double>(n));
}

}  // namespace learndock
