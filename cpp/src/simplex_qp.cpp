// SPDX-License-Identifier: Apache-2.0
#include "learndock/simplex_qp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "learndock/instruction_set.hpp"

namespace learndock {

namespace {

/// First delta, in units of the problem's largest number. Large enough to keep the factor far from breakdown (1e-16 n),
/// small enough that two or three proximal steps end on the programme's own solution.
constexpr double first_proximal_weight = 1e-10;
/// A K that is semidefinite only up to rounding, of float32 say, needs more; a K that needs this much is indefinite.
constexpr double last_proximal_weight = 1e-4;
constexpr double proximal_growth = 100;
constexpr int proximal_steps = 50;
/// A gradient below the level by less is rounding.
constexpr double tolerance = 1e-13;
/// The residual at which no proximal step is needed any more.
constexpr double converged = 1e-14;
/// Rounds of exchanges. Problems that need more than a dozen cycle; the active set does not.
constexpr int pivoting_rounds = 25;
/// Rounds in which whole blocks are exchanged although the number of wrong signs does not fall.
constexpr int patience_of_blocks = 1;
/// Solves on one support: the first, and refinements, since the move can be 1e10 times what it leaves of the gradient.
constexpr int solves_on_support = 3;

double dot(const double* a, const double* b, Index count) {
  double sums[4] = {0, 0, 0, 0};
  Index i = 0;
  for (; i + 4 <= count; i += 4)
    for (int lane = 0; lane < 4; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// x * 2^exponent for any exponent that a float64's own scale can ask for: 2^exponent alone may be out of range.
struct PowerOfTwo {
  explicit PowerOfTwo(int exponent)
      : half(std::ldexp(1.0, exponent / 2)), rest(std::ldexp(1.0, exponent - exponent / 2)) {}
  double times(double x) const { return x * half * rest; }
  double half, rest;
};

}  // namespace

/// Everything in units of the problem's largest number. w = 0 outside the support, whenever no move is under way.
struct QpSolver::State {
  enum class Feasible { simplex, nonnegative };

  Feasible feasible = Feasible::simplex;
  const CpuKernels* kernels = &active_kernels();
  Index n = 0;
  Index stride = 0;  // of the factor's rows
  double delta = 0;
  std::vector<double> memory;
  std::vector<Index> indices;
  double* K = nullptr;  // [n, n]
  double* c = nullptr;  // [n], as are the following
  double* w = nullptr;
  double* feasible_start = nullptr;
  double* centre = nullptr;    // of the proximal term
  double* gradient = nullptr;  // K w - c
  double* best = nullptr;
  double* before = nullptr;  // w before a move
  double* move = nullptr;    // by place in the support, as are the following
  double* ones = nullptr;    // (K + delta I)^-1 1
  double* inverse_pivots = nullptr;
  double* factor = nullptr;  // [n, stride], upper: U' U = K + delta I on the support
  double ones_sum = 0;
  bool ones_known = false;
  Index* support = nullptr;
  Index* place = nullptr;  // of an index in the support, -1 outside
  Index* wrong = nullptr;  // indices to exchange
  Index size = 0;          // of the support
  Index factored = 0;      // columns of the factor that are valid
  Index entering = -1;

  void reserve(Index count) {
    n = count;
    // Rows of the factor are written in whole vectors, and in whole groups of rows.
    stride = n + cholesky_padding;
    const Index vectors = 10, lists = 3;
    const Index needed = n * (n + vectors) + (n + cholesky_rows) * stride;
    if (static_cast<Index>(memory.size()) < needed) memory.resize(needed);
    if (static_cast<Index>(indices.size()) < lists * n) indices.resize(lists * n);
    double* next = memory.data();
    for (double** vector :
         {&c, &w, &feasible_start, &centre, &gradient, &best, &before, &move, &ones, &inverse_pivots}) {
      *vector = next;
      next += n;
    }
    K = next;
    factor = next + n * n;
    support = indices.data();
    place = support + n;
    wrong = place + n;
  }

  // --- the support and its factor

  void clear_support() {
    std::fill(place, place + n, Index{-1});
    size = factored = 0;
    ones_known = false;
  }

  void append(Index i) {
    place[i] = size;
    support[size++] = i;
    ones_known = false;
  }

  template <class Leaves>
  void remove(Leaves leaves) {
    Index kept = 0;
    for (Index s = 0; s < size; ++s) {
      const Index i = support[s];
      if (leaves(i)) {
        place[i] = -1;
        factored = std::min(factored, kept);
        ones_known = false;
      } else {
        place[i] = kept;
        support[kept++] = i;
      }
    }
    size = kept;
  }

  /// Brings the factor up to the support. False where K + delta I is not positive definite on it: the pivot of a
  /// semidefinite K is at least delta.
  bool factorise() {
    if (factored + 1 == size) {
      if (!append_column()) return false;
    } else {
      for (Index first = 0; factored < size && first < size; first += cholesky_rows)
        if (!factorise_rows(first, std::min<Index>(first + cholesky_rows, size))) return false;
      factored = size;
    }
    if (feasible == Feasible::simplex && !ones_known) {
      std::fill(ones, ones + size, 1.0);
      solve_factor(ones);
      ones_sum = 0;
      for (Index s = 0; s < size; ++s) ones_sum += ones[s];
      ones_known = true;
    }
    return true;
  }

  /// The new columns of rows `first` to `end` - 1 of the factor, from those above.
  bool factorise_rows(Index first, Index end) {
    const Index begin = std::max(first, factored);
    const Index padded = begin + (size - begin + cholesky_padding - 1) / cholesky_padding * cholesky_padding;
    for (Index k = first; k < first + cholesky_rows; ++k) {
      double* row = factor + k * stride;
      std::fill(row + (k < end ? size : begin), row + padded, 0.0);
      if (k >= end) continue;
      const double* from = K + support[k] * n;
      for (Index j = begin; j < size; ++j) row[j] = from[support[j]];
    }
    if (first > 0)
      kernels->subtract_products(factor + begin, first, stride, factor + first, factor + first * stride + begin,
                                 size - begin);
    for (Index k = first; k < end; ++k) {
      double* row = factor + k * stride;
      const Index new_begin = std::max(k, factored);
      for (Index m = first; m < k; ++m) {
        const double* above = factor + m * stride;
        const double multiple = above[k];
        for (Index j = new_begin; j < size; ++j) row[j] -= multiple * above[j];
      }
      if (k >= factored) {
        const double pivot = row[k] + delta;
        if (!(pivot > 0.1 * delta)) return false;
        inverse_pivots[k] = 1 / std::sqrt(pivot);
      }
      const double scale = inverse_pivots[k];
      for (Index j = new_begin; j < size; ++j) row[j] *= scale;
    }
    return true;
  }

  bool append_column() {
    const Index last = size - 1;
    const double* from = K + support[last] * n;
    for (Index k = 0; k < last; ++k) move[k] = from[support[k]];
    forward(move, last);
    double pivot = from[support[last]] + delta;
    for (Index k = 0; k < last; ++k) {
      pivot -= move[k] * move[k];
      factor[k * stride + last] = move[k];
    }
    if (!(pivot > 0.1 * delta)) return false;
    inverse_pivots[last] = 1 / std::sqrt(pivot);
    factored = size;
    return true;
  }

  /// right <- U'^-1 right.
  void forward(double* __restrict right, Index count) const {
    for (Index k = 0; k < count; ++k) {
      const double* row = factor + k * stride;
      const double solved = right[k] *= inverse_pivots[k];
      for (Index j = k + 1; j < count; ++j) right[j] -= solved * row[j];
    }
  }

  void solve_factor(double* right) const {
    forward(right, size);
    for (Index k = size; k-- > 0;)
      right[k] = (right[k] - dot(factor + k * stride + k + 1, right + k + 1, size - k - 1)) * inverse_pivots[k];
  }

  // --- minimum on a support

  void evaluate_gradient() {
    for (Index i = 0; i < n; ++i) gradient[i] = -c[i];
    Index s = 0;
    for (; s + 4 <= size; s += 4) {
      const Index* at = support + s;
      add_rows(gradient, K + at[0] * n, K + at[1] * n, K + at[2] * n, K + at[3] * n, w[at[0]], w[at[1]], w[at[2]],
               w[at[3]]);
    }
    for (; s < size; ++s) {
      const double weight = w[support[s]];
      const double* row = K + support[s] * n;
      for (Index i = 0; i < n; ++i) gradient[i] += weight * row[i];
    }
  }

  void add_rows(double* __restrict to, const double* __restrict p, const double* __restrict q,
                const double* __restrict r, const double* __restrict t, double a, double b, double d, double e) const {
    for (Index i = 0; i < n; ++i) to[i] += (a * p[i] + b * q[i]) + (d * r[i] + e * t[i]);
  }

  /// The gradient with the proximal term's.
  double slope(Index i) const { return gradient[i] + delta * (w[i] - centre[i]); }

  /// What all slopes on the support should be.
  double level_on_support() const {
    if (feasible == Feasible::nonnegative || size == 0) return 0;
    double sum = 0;
    for (Index s = 0; s < size; ++s) sum += slope(support[s]);
    return sum / static_cast<double>(size);
  }

  /// Moves w to the minimum over the weights of the support, whatever their signs. False where K is not definite there.
  bool solve_on_support() {
    if (!factorise()) return false;
    double level = level_on_support();
    for (int round = 0; round < solves_on_support; ++round) {
      // Solved for the move from where w is, not for its end: what the gradients share, which can be 1e10 times what
      // tells them apart, is gone before it is divided by a K that is nearly singular.
      for (Index s = 0; s < size; ++s) move[s] = level - slope(support[s]);
      solve_factor(move);
      if (feasible == Feasible::simplex) {
        double lacking = 1;
        for (Index s = 0; s < size; ++s) lacking -= w[support[s]] + move[s];
        const double share = lacking / ones_sum;
        for (Index s = 0; s < size; ++s) move[s] += share * ones[s];
      }
      double sum = 0;
      for (Index s = 0; s < size; ++s) sum += w[support[s]] += move[s];
      evaluate_gradient();
      level = level_on_support();
      double deviation = feasible == Feasible::simplex ? std::abs(sum - 1) : 0.0;
      for (Index s = 0; s < size; ++s) deviation = std::max(deviation, std::abs(slope(support[s]) - level));
      if (deviation <= converged) break;
    }
    return true;
  }

  // --- one proximal step

  bool is_wrong(Index i, double level) const { return place[i] >= 0 ? w[i] <= 0 : slope(i) < level - tolerance; }

  /// Block principal pivoting from the support at hand. False where it does not come to an end.
  bool pivot() {
    Index fewest = n + 1;
    int patience = patience_of_blocks;
    for (int round = 0; round < pivoting_rounds; ++round) {
      if (!solve_on_support()) return false;
      const double level = level_on_support();
      Index count = 0;
      for (Index i = 0; i < n; ++i)
        if (is_wrong(i, level)) wrong[count++] = i;
      if (count == 0) return true;
      if (count < fewest) {
        fewest = count;
        std::copy(w, w + n, before);
        patience = patience_of_blocks;
      } else if (--patience < 0) {
        std::copy(before, before + n, feasible_start);
        make_feasible(feasible_start);
        return false;
      }
      Index entering_count = 0;
      for (Index e = 0; e < count; ++e) {
        if (place[wrong[e]] < 0)
          wrong[entering_count++] = wrong[e];
        else
          w[wrong[e]] = 0;
      }
      remove([&](Index i) { return w[i] == 0; });
      for (Index e = 0; e < entering_count; ++e) append(wrong[e]);
      std::fill(w, w + n, 0.0);
      for (Index i = 0; i < n; ++i) gradient[i] = -c[i];
    }
    return false;
  }

  /// An active set from the feasible start. False where K is not definite on a support that it meets.
  bool descend() {
    std::copy(feasible_start, feasible_start + n, w);
    take_support();
    entering = -1;
    // Each round adds an index and strictly lowers the objective; the cap only guards against rounding cycles.
    for (Index round = 0; round < 10 * n + 20; ++round) {
      bool stuck = false;
      if (!minimise_on_support(stuck)) return false;
      if (stuck) return true;
      entering = -1;
      double steepest = level_on_support() - tolerance;
      for (Index i = 0; i < n; ++i)
        if (place[i] < 0 && slope(i) < steepest) {
          steepest = slope(i);
          entering = i;
        }
      if (entering < 0) return true;
      append(entering);
    }
    return true;
  }

  /// Moves w to the minimum over its support, dropping indices on the way where it would turn negative. `stuck` where
  /// the index that entered last can't move (rounding): the descent is over.
  bool minimise_on_support(bool& stuck) {
    for (;;) {
      std::copy(w, w + n, before);
      if (!solve_on_support()) return false;
      double step = 1;
      for (Index s = 0; s < size; ++s) {
        const double at = before[support[s]], goal = w[support[s]];
        if (goal <= 0 && at > goal) step = std::min(step, at / (at - goal));
      }
      stuck = step == 0 && entering >= 0 && w[entering] <= 0;
      bool leaving = false;
      for (Index s = 0; s < size; ++s) {
        double& goal = w[support[s]];
        const double at = before[support[s]], moved = at + step * (goal - at);
        const bool leaves = goal <= 0 && moved <= 1e-15;
        goal = leaves ? 0.0 : moved;
        leaving = leaving || leaves;
      }
      if (!leaving) return true;
      remove([&](Index i) { return w[i] == 0; });
      evaluate_gradient();
      if (stuck) return true;
    }
  }

  void take_support() {
    clear_support();
    for (Index i = 0; i < n; ++i)
      if (w[i] > 0) append(i);
    evaluate_gradient();
  }

  // --- the programme

  double objective() const { return 0.5 * (dot(w, gradient, n) - dot(w, c, n)); }

  /// How far w is from optimal: on the support every gradient equals the level, elsewhere none is below it.
  double residual() const {
    const double level = feasible == Feasible::simplex ? dot(w, gradient, n) : 0.0;
    double worst = 0;
    for (Index i = 0; i < n; ++i)
      worst = std::max(worst, w[i] > 0 ? std::abs(gradient[i] - level) : level - gradient[i]);
    return worst;
  }

  void make_feasible(double* weights) const {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += weights[i] = std::max(weights[i], 0.0);
    if (feasible == Feasible::simplex)
      for (Index i = 0; i < n; ++i) weights[i] /= sum;
  }

  void copy_scaled(const double* from_K, const double* from_c, PowerOfTwo scale) {
    for (Index i = 0; i < n * n; ++i) K[i] = scale.times(from_K[i]);
    for (Index i = 0; i < n; ++i) c[i] = scale.times(from_c[i]);
  }

  /// A start for the active set: what was given, or the best single index.
  void take_start(const double* given) {
    std::fill(feasible_start, feasible_start + n, 0.0);
    if (given) {
      std::copy(given, given + n, feasible_start);
      make_feasible(feasible_start);
    } else if (feasible == Feasible::simplex) {
      Index best_single = 0;
      double least = std::numeric_limits<double>::infinity();
      for (Index i = 0; i < n; ++i) {
        const double value = 0.5 * K[i * n + i] - c[i];
        if (value < least) {
          least = value;
          best_single = i;
        }
      }
      feasible_start[best_single] = 1;
    }
  }

  QpResult solve(const double* from_K, const double* from_c, double* weights, bool warm) {
    double largest_K = 0, largest_c = 0;
    for (Index i = 0; i < n; ++i) {
      largest_K = std::max(largest_K, std::abs(from_K[i * n + i]));
      largest_c = std::max(largest_c, std::abs(from_c[i]));
    }
    // In units of its largest numbers: neither tiny nor huge problems leave float64's range. By a power of two, so that
    // the weights of a problem do not depend on its units.
    int exponent = 0;
    std::frexp(largest_K + largest_c, &exponent);
    copy_scaled(from_K, from_c, PowerOfTwo(-exponent));

    QpResult found;
    for (delta = first_proximal_weight;; delta *= proximal_growth) {
      take_start(warm ? weights : nullptr);
      std::copy(feasible_start, feasible_start + n, w);
      take_support();
      found = {objective(), residual()};
      std::copy(w, w + n, best);
      if (found.residual <= converged && is_nonnegative_on_support()) break;
      if (warm) {
        std::copy(w, w + n, centre);
      } else {
        // From all indices, around 0: equal ones share equally, and most problems lose half of them a round.
        std::fill(w, w + n, 0.0);
        std::fill(centre, centre + n, 0.0);
        clear_support();
        for (Index i = 0; i < n; ++i) append(i);
        for (Index i = 0; i < n; ++i) gradient[i] = -c[i];
      }
      const bool definite = take_proximal_steps(found);
      if (definite) break;
      if (delta >= last_proximal_weight) {
        found.residual = std::numeric_limits<double>::infinity();
        break;
      }
    }
    // Only an entry far beyond the diagonal leaves the range, which a semidefinite K has not.
    if (!std::isfinite(found.objective)) found.residual = std::numeric_limits<double>::infinity();
    std::copy(best, best + n, weights);
    const PowerOfTwo unit(exponent);
    found.objective = unit.times(found.objective);
    found.residual = unit.times(found.residual);
    return found;
  }

  /// What the pivots would have said of a single index.
  bool is_nonnegative_on_support() const {
    return std::all_of(support, support + size, [this](Index i) { return K[i * n + i] >= 0; });
  }

  /// False where K + delta I turned out not to be definite.
  bool take_proximal_steps(QpResult& found) {
    bool definite = true;
    for (int step = 0; step < proximal_steps; ++step) {
      if (!pivot()) definite = descend();
      make_feasible(w);
      evaluate_gradient();
      const QpResult here{objective(), residual()};
      // Of a K that is indefinite by less than delta the programme without the sum has no least value: its steps grow
      // beyond float64's range.
      if (!std::isfinite(here.objective)) return false;
      const double gain = found.objective - here.objective;
      if (gain > 0 || here.residual < found.residual) {
        found = here;
        std::copy(w, w + n, best);
      }
      if (!definite || here.residual <= converged || (step > 0 && gain <= 1e-16)) break;
      std::copy(w, w + n, feasible_start);
      std::copy(w, w + n, centre);
    }
    return definite;
  }
};

QpSolver::QpSolver() : state_(std::make_unique<State>()) {}

QpSolver::~QpSolver() = default;

QpResult QpSolver::simplex(const double* K, const double* c, Index n, double* weights, bool warm) {
  state_->reserve(n);
  state_->feasible = State::Feasible::simplex;
  return state_->solve(K, c, weights, warm);
}

QpResult QpSolver::nonnegative(const double* K, const double* c, Index n, double* weights, bool warm) {
  state_->reserve(n);
  state_->feasible = State::Feasible::nonnegative;
  return state_->solve(K, c, weights, warm);
}

QpResult simplex_qp(const double* K, const double* c, Index n, double* weights, bool warm) {
  return QpSolver().simplex(K, c, n, weights, warm);
}

QpResult nonnegative_qp(const double* K, const double* c, Index n, double* weights, bool warm) {
  return QpSolver().nonnegative(K, c, n, weights, warm);
}

bool is_valid_qp(const double* K, const double* c, Index n) {
  constexpr double largest = 1e150;
  constexpr double asymmetry = 1e-8;
  // Sums of magnitudes are finite only where all terms are.
  double sum = 0, sum_c = 0;
  const Index count = n * n;
  double sums[4] = {0, 0, 0, 0};
  Index i = 0;
  for (; i + 4 <= count; i += 4)
    for (int lane = 0; lane < 4; ++lane) sums[lane] += std::abs(K[i + lane]);
  for (; i < count; ++i) sums[0] += std::abs(K[i]);
  sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (Index j = 0; j < n; ++j) sum_c += std::abs(c[j]);
  if (!(sum <= largest && sum_c <= largest)) {
    const auto bad = [](double value) { return !(std::abs(value) <= largest); };
    if (std::any_of(K, K + count, bad) || std::any_of(c, c + n, bad)) return false;
  }
  constexpr Index block = 8;  // of rows by columns: a line of cache holds 8 numbers of the transpose
  bool equal = true;
  for (Index row = 0; row < n; row += block)
    for (Index column = 0; column <= row; column += block)
      for (Index a = row; a < std::min(row + block, n); ++a)
        for (Index b = column; b < std::min(column + block, n); ++b) equal &= K[a * n + b] == K[b * n + a];
  if (equal) return true;
  double differs = 0;
  for (Index a = 0; a < n; ++a)
    for (Index b = 0; b < a; ++b) differs = std::max(differs, std::abs(K[a * n + b] - K[b * n + a]));
  double largest_entry = 0;
  for (Index j = 0; j < count; ++j) largest_entry = std::max(largest_entry, std::abs(K[j]));
  return differs <= asymmetry * largest_entry;
}

}  // namespace learndock
