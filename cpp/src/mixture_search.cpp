// SPDX-License-Identifier: Apache-2.0
#include "learndock/mixture_search.hpp"

#include <algorithm>
#include <memory>

#include "candidates.hpp"
#include "learndock/simplex_qp.hpp"

namespace learndock {

namespace {

/// With so many users for each thread, a user is one chunk of work: the points stay in a processor's own cache, and
/// nobody waits for others between the steps. With fewer, the threads share out the rows of all users at once.
constexpr Index users_for_each = 4;
/// Where a user's candidates have more points than that, the work is shared out anyway: the products of all pairs are
/// not to take longer than some 50 ms, for Ctrl-C.
constexpr Index most_points_alone = 5000;
/// Users whose rows are shared out together: their points are in memory at once.
constexpr Index users_together = 16;
/// So many embeddings at most are candidates of all users together where their products are computed once for all.
constexpr Index most_shared = 400;
/// Products of an embedding that make one chunk of work.
constexpr Index shared_columns = 8;

/// One user at work.
struct User {
  Index number = 0;
  Candidates candidates;
  std::vector<double> gram;    // [m, m], symmetric
  std::vector<double> errors;  // [m, m] of the float32 products; one half may be 0
  std::vector<Index> members;  // those whose products are needed in float64
  bool undecided = false;      // the members are chosen from float64 products of all candidates
};

/// A row of a Gram matrix to compute.
struct Row {
  Index user;
  Index member;
};

/// The candidates of all users, each once, and their products.
struct SharedCandidates {
  std::vector<EmbeddingPlace> places;  // ascending
  std::vector<Index> of_users;         // [users, m] where they lie among the candidates
  Candidates candidates;
  std::vector<double> gram;  // symmetric
  // For "auto", which is to choose as it does for a user alone: the same in float32 arithmetic, and bounds on the
  // errors.
  std::vector<double> float_gram, errors;

  Index count() const { return static_cast<Index>(places.size()); }
};

/// Memory of one worker.
struct Worker {
  User alone;  // where a user is one chunk of work
  UnpackedRows rows, other_rows;
  BoundedScratch<PreparedQuery> bounded;
  ExactScratch exact;
  MixtureSolver solver;
  QpSolver qp;
  std::vector<double> K, c, w, row, errors;
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
        workers_(team.size()) {}

  void run() {
    if (find_shared())
      search_shared();
    else if (all_.users >= users_for_each * team_.size() && most_points() <= most_points_alone)
      team_.for_each(all_.users, [&](Index u, int worker) { search(u, workers_[worker]); });
    else
      for (Index first = 0; first < all_.users; first += users_together)
        search_together(first, std::min(users_together, all_.users - first));
  }

 private:
  /// Of all candidates of one user.
  Index most_points() const {
    Index most = 0;
    for (Index u = 0; u < all_.users; ++u) {
      Index points = 0;
      for (Index i = 0; i < all_.m; ++i) {
        const EmbeddingPlace& place = all_.places[u * all_.m + i];
        const Index* offset = batches_[place.batch].offsets + place.index;
        points += offset[1] - offset[0];
      }
      most = std::max(most, points);
    }
    return most;
  }

  /// Whether the users' candidates are so few together that all their products cost less than those of each user. Both
  /// ways give the same to the bit: a product does not depend on what is computed beside it, and where float32 decides
  /// which members greedy takes, float64 takes the same.
  bool find_shared() {
    if (all_.users < 2) return false;
    const auto before = [](const EmbeddingPlace& a, const EmbeddingPlace& b) {
      return a.batch != b.batch ? a.batch < b.batch : a.index < b.index;
    };
    std::vector<EmbeddingPlace>& places = shared_.places;
    places.assign(all_.places, all_.places + all_.users * all_.m);
    std::sort(places.begin(), places.end(), before);
    places.erase(std::unique(places.begin(), places.end(),
                             [&](const auto& a, const auto& b) { return !before(a, b) && !before(b, a); }),
                 places.end());
    // A float32 product costs a third of one in float64. Greedy may end before it has `size` members. Shared, each
    // product is computed once, for both that take part.
    const Index of_user = rule_ == MixtureRule::automatic ? all_.m * all_.m / 8 : all_.m * std::min(size_, all_.m) / 4;
    const Index count = shared_.count();
    if (count > most_shared || count * count > 2 * all_.users * of_user) return false;
    for (Index i = 0; i < all_.users * all_.m; ++i)
      shared_.of_users.push_back(std::lower_bound(places.begin(), places.end(), all_.places[i], before) -
                                 places.begin());
    return true;
  }

  void search_shared() {
    const Index count = shared_.count(), pieces = (count + shared_columns - 1) / shared_columns;
    shared_.candidates.gather(batches_, shared_.places.data(), count);
    for (Index& place : shared_.of_users) place = shared_.candidates.positions[place];
    shared_.gram.resize(count * count);
    team_.for_each(count * pieces, [&](Index chunk, int worker) {
      Worker& own = workers_[worker];
      const Index i = chunk / pieces, end = std::min(count, (chunk % pieces + 1) * shared_columns);
      Index j = std::max(i, chunk % pieces * shared_columns);
      if (j >= end) return;
      const Embedding query = own.rows.of(shared_.candidates.packed, i);
      for (; j < end; ++j)
        shared_.gram[i * count + j] = shared_.gram[j * count + i] =
            own.exact.inner_product(query, shared_.candidates.packed, j, gamma_);
    });
    if (rule_ == MixtureRule::automatic) {
      shared_.float_gram.resize(count * count);
      shared_.errors.resize(count * count);
      team_.for_each(count, [&](Index i, int worker) {
        shared_.candidates.products_of(i, gamma_, workers_[worker].rows, workers_[worker].bounded,
                                       shared_.float_gram.data() + i * count, shared_.errors.data() + i * count);
        for (Index j = i + 1; j < count; ++j) {
          shared_.float_gram[j * count + i] = shared_.float_gram[i * count + j];
          shared_.errors[j * count + i] = shared_.errors[i * count + j];
        }
      });
    }
    team_.for_each(all_.users, [&](Index u, int worker) { search_among_shared(u, workers_[worker]); });
  }

  void search_among_shared(Index u, Worker& own) {
    const Index m = all_.m;
    User& user = own.alone;
    begin(user, u);
    if (rule_ == MixtureRule::automatic) {
      for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < m; ++j) {
          if (i == j) continue;
          user.gram[i * m + j] = shared_.float_gram[shared_place(user, i, j)];
          user.errors[i * m + j] = shared_.errors[shared_place(user, i, j)];
        }
      choose(user, own);
    } else {
      solve(user, own, [&](Index row) { shared_row(user, row, own); });
      take_members(user);
    }
    for (Index i : user.members)
      for (Index j : user.members)
        if (i != j) user.gram[i * m + j] = shared_.gram[shared_place(user, i, j)];
    weigh(user, own);
  }

  /// Where the product of a user's candidates i and j lies.
  Index shared_place(const User& user, Index i, Index j) const {
    const Index* places = shared_.of_users.data() + user.number * all_.m;
    return places[i] * shared_.count() + places[j];
  }

  void shared_row(User& user, Index i, Worker& own) const {
    own.row.resize(all_.m);
    for (Index j = 0; j < all_.m; ++j) own.row[j] = shared_.gram[shared_place(user, i, j)];
    set_row(user, i, own.row);
  }

  void search(Index u, Worker& own) {
    User& user = own.alone;
    gather(user, u);
    if (rule_ == MixtureRule::automatic)
      for (Index i = 0; i < all_.m; ++i) float_products(user, i, own);
    choose(user, own);
    for (Index i = 0; i < static_cast<Index>(user.members.size()); ++i) exact_row(user, i, own);
    weigh(user, own);
  }

  void search_together(Index first, Index count) {
    std::vector<User> users(count);
    team_.for_each(count, [&](Index u, int) { gather(users[u], first + u); });
    if (rule_ == MixtureRule::automatic)
      team_.for_each(count * all_.m, [&](Index chunk, int worker) {
        float_products(users[chunk / all_.m], chunk % all_.m, workers_[worker]);
      });
    team_.for_each(count, [&](Index u, int worker) { choose(users[u], workers_[worker]); });
    std::vector<Row> rows;
    for (Index u = 0; u < count; ++u)
      for (Index i = 0; i < static_cast<Index>(users[u].members.size()); ++i) rows.push_back({u, i});
    team_.for_each(static_cast<Index>(rows.size()), [&](Index chunk, int worker) {
      exact_row(users[rows[chunk].user], rows[chunk].member, workers_[worker]);
    });
    team_.for_each(count, [&](Index u, int worker) { weigh(users[u], workers_[worker]); });
  }

  double* weights_of(const User& user) const { return weights_ + user.number * all_.m; }
  const double* cross_of(const User& user) const { return all_.cross + user.number * all_.m; }

  void begin(User& user, Index number) const {
    const Index m = all_.m;
    user.number = number;
    user.gram.assign(m * m, 0.0);
    user.errors.assign(m * m, 0.0);
    for (Index i = 0; i < m; ++i) user.gram[i * m + i] = all_.self_inner[number * m + i];
  }

  void gather(User& user, Index number) const {
    begin(user, number);
    user.candidates.gather(batches_, all_.places + number * all_.m, all_.m);
  }

  /// The products of the candidate that lies at a place with those that follow, in float32.
  void float_products(User& user, Index place, Worker& own) const {
    const Index m = all_.m;
    const std::vector<Index>& numbers = user.candidates.numbers;
    own.row.resize(m);
    own.errors.resize(m);
    user.candidates.products_of(place, gamma_, own.rows, own.bounded, own.row.data(), own.errors.data());
    for (Index other = place + 1; other < m; ++other) {
      const Index i = numbers[place], j = numbers[other];
      user.gram[i * m + j] = user.gram[j * m + i] = own.row[other];
      user.errors[i * m + j] = own.errors[other];
    }
  }

  /// A row and column of the Gram matrix but for the diagonal.
  void set_row(User& user, Index i, const std::vector<double>& row) const {
    for (Index j = 0; j < all_.m; ++j)
      if (j != i) user.gram[i * all_.m + j] = user.gram[j * all_.m + i] = row[j];
  }

  void float_row(User& user, Index i, Worker& own) const {
    const Index m = all_.m;
    const std::vector<Index>& positions = user.candidates.positions;
    std::vector<double>& lying = own.errors;  // products, then their errors, as the candidates lie
    lying.resize(2 * m);
    user.candidates.all_products_of(positions[i], gamma_, own.rows, own.bounded, lying.data(), lying.data() + m);
    own.row.resize(m);
    for (Index j = 0; j < m; ++j) {
      own.row[j] = lying[positions[j]];
      user.errors[i * m + j] = lying[m + positions[j]];
    }
    set_row(user, i, own.row);
  }

  void double_row(User& user, Index i, Worker& own) const {
    own.row.resize(all_.m);
    const PackedEmbeddings<float>& packed = user.candidates.packed;
    const std::vector<Index>& positions = user.candidates.positions;
    const Embedding query = own.rows.of(packed, positions[i]);
    for (Index j = 0; j < all_.m; ++j) {
      if (j == i) continue;
      own.row[j] = positions[i] < positions[j]
                       ? own.exact.inner_product(query, packed, positions[j], gamma_)
                       : own.exact.inner_product(own.other_rows.of(packed, positions[j]), packed, positions[i], gamma_);
    }
    set_row(user, i, own.row);
  }

  /// The members. Where float32 can't tell, greedy chooses again in float64, and "auto" later, for it needs all
  /// products. The rule "distance" looks at the diagonal alone.
  void choose(User& user, Worker& own) {
    solve(user, own, [&](Index row) { float_row(user, row, own); });
    const double error = *std::max_element(user.errors.begin(), user.errors.end());
    const bool sure = rule_ == MixtureRule::distance || own.solver.is_sure(error);
    if (!sure && rule_ == MixtureRule::greedy) solve(user, own, [&](Index row) { double_row(user, row, own); });
    user.undecided = !sure && rule_ == MixtureRule::automatic;
    take_members(user);
  }

  /// Chooses by the products that there are, and those that greedy asks for.
  double solve(User& user, Worker& own, const MixtureSolver::RowWanted& row_wanted = {}) const {
    return own.solver.solve(user.gram.data(), cross_of(user), all_.user_self[user.number], all_.m, rule_, size_,
                            weights_of(user), row_wanted);
  }

  void take_members(User& user) const {
    user.members.clear();
    for (Index i = 0; i < all_.m; ++i)
      if (user.undecided || weights_of(user)[i] > 0) user.members.push_back(i);
  }

  /// The products of a member with those that lie behind it, in float64.
  void exact_row(User& user, Index member, Worker& own) const {
    const Index m = all_.m, i = user.members[member];
    const std::vector<Index>& positions = user.candidates.positions;
    const Embedding query = own.rows.of(user.candidates.packed, positions[i]);
    for (Index j : user.members)
      if (positions[j] > positions[i])
        user.gram[i * m + j] = user.gram[j * m + i] =
            own.exact.inner_product(query, user.candidates.packed, positions[j], gamma_);
  }

  void weigh(User& user, Worker& own) {
    const Index m = all_.m;
    double* weights = weights_of(user);
    if (user.undecided) {
      mmd2_[user.number] = solve(user, own);
      return;
    }
    const Index n = static_cast<Index>(user.members.size());
    own.K.resize(n * n);
    own.c.resize(n);
    own.w.resize(n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) own.K[i * n + j] = user.gram[user.members[i] * m + user.members[j]];
      own.c[i] = cross_of(user)[user.members[i]];
      own.w[i] = weights[user.members[i]];
    }
    if (rule_ != MixtureRule::distance) own.qp.simplex(own.K.data(), own.c.data(), n, own.w.data());
    double value = all_.user_self[user.number];
    for (Index i = 0; i < n; ++i) {
      double row = 0;
      for (Index j = 0; j < n; ++j) row += own.K[i * n + j] * own.w[j];
      value += own.w[i] * (row - 2 * own.c[i]);
      weights[user.members[i]] = own.w[i];
    }
    mmd2_[user.number] = value;
  }

  const std::vector<PackedEmbeddings<float>>& batches_;
  const MixtureCandidates& all_;
  double gamma_;
  MixtureRule rule_;
  Index size_;
  ThreadTeam& team_;
  double* weights_;
  double* mmd2_;
  std::vector<Worker> workers_;
  SharedCandidates shared_;
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
