// SPDX-License-Identifier: Apache-2.0
#include "learndock/mixture_search.hpp"

#include <algorithm>
#include <memory>

#include "candidates.hpp"
#include "learndock/simplex_qp.hpp"

namespace learndock {

namespace {

/// Users worked on together: their rows are shared among the threads, and their points are in memory at once.
constexpr Index users_together = 16;

/// One user at work.
struct User {
  Candidates candidates;
  std::vector<double> gram;    // [m, m], symmetric
  std::vector<double> errors;  // [m, m], of the float32 products
  std::vector<Index> members;  // those whose products are needed in float64
  bool undecided = false;      // the members are chosen from float64 products of all candidates
};

/// A row of a Gram matrix to compute.
struct Row {
  Index user;
  Index member;
};

void mirror(std::vector<double>& gram, Index m) {
  for (Index i = 0; i < m; ++i)
    for (Index j = i + 1; j < m; ++j) gram[j * m + i] = gram[i * m + j];
}

/// Memory of one worker.
struct Worker {
  BoundedScratch<PreparedQuery> bounded;
  ExactScratch exact;
  MixtureSolver solver;
  QpSolver qp;
  std::vector<double> K, c, w, row;
};

class Search {
 public:
  Search(const std::vector<PackedEmbeddings<float>>& batches, const MixtureCandidates& all, double gamma,
         MixtureRule rule, Index size, ThreadTeam& team, double* weights, double* mmd2)
      : batches_(batches),
        all_(all),
        gamma_(gamma),
        rule_(rule),
        size_(size),
        team_(team),
        weights_(weights),
        mmd2_(mmd2),
        users_(std::min(all.users, users_together)),
        workers_(team.size()) {}

  void run() {
    for (first_ = 0; first_ < all_.users; first_ += users_together) {
      here_ = std::min(users_together, all_.users - first_);
      team_.for_each(here_, [&](Index u, int) { gather(u); });
      if (rule_ == MixtureRule::automatic)
        team_.for_each(here_ * all_.m, [&](Index chunk, int worker) {
          User& user = users_[chunk / all_.m];
          const Index i = chunk % all_.m;
          user.candidates.products_of(i, gamma_, workers_[worker].bounded, user.gram.data() + i * all_.m,
                                      user.errors.data() + i * all_.m);
        });
      team_.for_each(here_, [&](Index u, int worker) { choose(u, workers_[worker]); });
      std::vector<Row> rows;
      for (Index u = 0; u < here_; ++u)
        for (Index i = 0; i < static_cast<Index>(users_[u].members.size()); ++i) rows.push_back({u, i});
      team_.for_each(static_cast<Index>(rows.size()),
                     [&](Index chunk, int worker) { exact_row(rows[chunk], workers_[worker].exact); });
      team_.for_each(here_, [&](Index u, int worker) { weigh(u, workers_[worker]); });
    }
  }

 private:
  double* weights_of(Index u) const { return weights_ + (first_ + u) * all_.m; }
  const double* cross_of(Index u) const { return all_.cross + (first_ + u) * all_.m; }

  void gather(Index u) {
    const Index m = all_.m;
    User& user = users_[u];
    user.candidates.gather(batches_, all_.places + (first_ + u) * m, m);
    user.gram.assign(m * m, 0.0);
    user.errors.assign(m * m, 0.0);
    for (Index i = 0; i < m; ++i) user.gram[i * m + i] = all_.self_inner[(first_ + u) * m + i];
  }

  /// A row and column of the Gram matrix but for the diagonal.
  void set_row(User& user, Index i, const std::vector<double>& row) const {
    for (Index j = 0; j < all_.m; ++j)
      if (j != i) user.gram[i * all_.m + j] = user.gram[j * all_.m + i] = row[j];
  }

  void float_row(User& user, Index i, Worker& own) const {
    own.row.resize(all_.m);
    user.candidates.all_products_of(i, gamma_, own.bounded, own.row.data(), user.errors.data() + i * all_.m);
    set_row(user, i, own.row);
  }

  void double_row(User& user, Index i, Worker& own) const {
    own.row.resize(all_.m);
    const Embedding query = user.candidates.embedding(i);
    for (Index j = 0; j < all_.m; ++j) own.row[j] = own.exact.inner_product(query, user.candidates.packed, j, gamma_);
    set_row(user, i, own.row);
  }

  /// The members. Where float32 can't tell, greedy chooses again in float64, and "auto" later, for it needs all
  /// products. The rule "distance" looks at the diagonal alone.
  void choose(Index u, Worker& own) {
    const Index m = all_.m;
    User& user = users_[u];
    mirror(user.gram, m);
    const auto solve = [&](const MixtureSolver::RowWanted& row_wanted) {
      own.solver.solve(user.gram.data(), cross_of(u), all_.user_self[first_ + u], m, rule_, size_, weights_of(u),
                       row_wanted);
    };
    solve([&](Index row) { float_row(user, row, own); });
    const double error = *std::max_element(user.errors.begin(), user.errors.end());
    const bool sure = rule_ == MixtureRule::distance || own.solver.is_sure(error);
    if (!sure && rule_ == MixtureRule::greedy) solve([&](Index row) { double_row(user, row, own); });
    user.undecided = !sure && rule_ == MixtureRule::automatic;
    user.members.clear();
    for (Index i = 0; i < m; ++i)
      if (user.undecided || weights_of(u)[i] > 0) user.members.push_back(i);
  }

  void exact_row(const Row& row, ExactScratch& scratch) {
    User& user = users_[row.user];
    const Index i = user.members[row.member];
    const Embedding query = user.candidates.embedding(i);
    for (Index j : user.members)
      if (j > i) user.gram[i * all_.m + j] = scratch.inner_product(query, user.candidates.packed, j, gamma_);
  }

  void weigh(Index u, Worker& own) {
    const Index m = all_.m;
    User& user = users_[u];
    mirror(user.gram, m);
    const double self = all_.user_self[first_ + u];
    double* weights = weights_of(u);
    if (user.undecided) {
      mmd2_[first_ + u] = own.solver.solve(user.gram.data(), cross_of(u), self, m, rule_, size_, weights);
      return;
    }
    const Index n = static_cast<Index>(user.members.size());
    own.K.resize(n * n);
    own.c.resize(n);
    own.w.resize(n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) own.K[i * n + j] = user.gram[user.members[i] * m + user.members[j]];
      own.c[i] = cross_of(u)[user.members[i]];
      own.w[i] = weights[user.members[i]];
    }
    if (rule_ != MixtureRule::distance) own.qp.simplex(own.K.data(), own.c.data(), n, own.w.data());
    double value = self;
    for (Index i = 0; i < n; ++i) {
      double row = 0;
      for (Index j = 0; j < n; ++j) row += own.K[i * n + j] * own.w[j];
      value += own.w[i] * (row - 2 * own.c[i]);
      weights[user.members[i]] = own.w[i];
    }
    mmd2_[first_ + u] = value;
  }

  const std::vector<PackedEmbeddings<float>>& batches_;
  const MixtureCandidates& all_;
  double gamma_;
  MixtureRule rule_;
  Index size_;
  ThreadTeam& team_;
  double* weights_;
  double* mmd2_;
  std::vector<User> users_;
  std::vector<Worker> workers_;
  Index first_ = 0, here_ = 0;  // the users at work
};

}  // namespace

void search_mixtures(const std::vector<PackedEmbeddings<float>>& batches, const MixtureCandidates& candidates,
                     double gamma, MixtureRule rule, Index size, ThreadTeam& team, double* weights, double* mmd2) {
  Search(batches, candidates, gamma, rule, size, team, weights, mmd2).run();
}

void extended_mmd2(const Extension& extension, ThreadTeam& team, double* values) {
  constexpr Index together = 256;  // small programmes in a chunk of work
  const Index s = extension.s, n = s + 1;
  std::vector<Worker> workers(team.size());
  team.for_each((extension.count + together - 1) / together, [&](Index chunk, int worker) {
    Worker& own = workers[worker];
    own.K.resize(n * n);
    own.c.resize(n);
    own.w.resize(n);
    for (Index i = 0; i < s; ++i) {
      for (Index j = 0; j < s; ++j) own.K[i * n + j] = extension.gram[i * s + j];
      own.c[i] = extension.cross[i];
    }
    for (Index p = chunk * together; p < std::min(extension.count, (chunk + 1) * together); ++p) {
      for (Index i = 0; i < s; ++i) own.K[i * n + s] = own.K[s * n + i] = extension.products[i * extension.count + p];
      own.K[s * n + s] = extension.candidate_self[p];
      own.c[s] = extension.candidate_cross[p];
      values[p] = extension.self + 2 * own.qp.simplex(own.K.data(), own.c.data(), n, own.w.data()).objective;
    }
  });
}

}  // namespace learndock
