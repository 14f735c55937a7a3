// SPDX-License-Identifier: Apache-2.0
//
// Threads that live as long as one call and no longer: a fork between calls finds none, so a child process can't hang
// on a pool that it did not inherit (libgomp's fault). Work is cut into chunks whose bounds do not depend on the number
// of threads, and each chunk writes results of its own: what comes out is the same for 1 thread and for 7.
#pragma once

#include <functional>
#include <memory>

#include "learndock/embedding.hpp"

namespace learndock {

/// Thrown by ThreadTeam::for_each in the calling thread when `interrupted` said so.
struct Interrupted {};

/// How a call may use the machine, and how a user stops it.
struct Execution {
  int threads = 0;                    ///< 0: default_threads()
  std::function<bool()> interrupted;  ///< asked a few times a second, in the calling thread only; may be empty

  /// The same for work that takes about so long: short work is done in the calling thread, since a thread takes 50 us
  /// to start, and longer where the processors are busy. What comes out does not depend on it.
  Execution for_work(double nanoseconds) const {
    constexpr double short_work = 4e5;
    return nanoseconds < short_work ? Execution{1, interrupted} : *this;
  }
};

/// Nanoseconds that kernel values take in one thread, roughly.
constexpr double float_pairs_time(double pairs, Index dim) { return pairs * (0.3 + 0.05 * static_cast<double>(dim)); }
constexpr double double_pairs_time(double pairs, Index dim) { return pairs * (0.4 + 0.03 * static_cast<double>(dim)); }

/// OMP_NUM_THREADS where it is set, else the processors that this process may use (affinity and cgroup quota).
int default_threads();

class ThreadTeam {
 public:
  explicit ThreadTeam(const Execution& execution);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const;

  /// work(chunk, worker) for chunk in 0 .. chunks - 1, worker in 0 .. size() - 1 (for scratch memory). The calling
  /// thread works too. The first exception of any worker is rethrown here, after all of them have stopped.
  void for_each(Index chunks, const std::function<void(Index chunk, int worker)>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace learndock
