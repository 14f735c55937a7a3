// SPDX-License-Identifier: Apache-2.0
#include "learndock/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace learndock {

namespace {

int processors_allowed() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// A container's CPU quota (cgroup v2: "max 100000" or "150000 100000"), rounded up; large where there is none.
int processors_of_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 20;
  return std::max(1, static_cast<int>((std::strtod(quota.c_str(), nullptr) + period - 1) / period));
}

/// More threads than any machine has processors help nobody.
constexpr int most_threads = 1024;

constexpr auto interrupt_interval = std::chrono::milliseconds(50);

}  // namespace

int default_threads() {
  if (const char* variable = std::getenv("OMP_NUM_THREADS")) {
    const long count = std::strtol(variable, nullptr, 10);
    if (count >= 1) return static_cast<int>(std::min(count, static_cast<long>(most_threads)));
  }
  return std::min(processors_allowed(), processors_of_quota());
}

struct ThreadTeam::State {
  using Work = std::function<void(Index, int)>;

  std::function<bool()> interrupted;
  std::vector<std::thread> helpers;
  int size = 1;

  std::mutex mutex;
  std::condition_variable start;
  std::condition_variable done;
  const Work* work = nullptr;
  Index chunks = 0;
  long round = 0;
  int running = 0;
  bool closing = false;
  std::exception_ptr failure;

  std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();  // calling thread's alone
  std::atomic<Index> next{0};
  std::atomic<bool> stop{false};

  void fail(std::exception_ptr exception) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!failure) failure = std::move(exception);
    stop = true;
  }

  void run_chunks(int worker) {
    try {
      for (Index chunk; !stop && (chunk = next++) < chunks;) {
        (*work)(chunk, worker);
        if (worker == 0 && interrupted && std::chrono::steady_clock::now() - asked > interrupt_interval) {
          if (interrupted()) throw Interrupted{};
          asked = std::chrono::steady_clock::now();
        }
      }
    } catch (...) {
      fail(std::current_exception());
    }
  }

  // `seen`: the round that was over when the helper was made; it must not join that one.
  void help(int worker, long seen) {
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex);
        start.wait(lock, [&] { return closing || round != seen; });
        if (closing) return;
        seen = round;
      }
      run_chunks(worker);
      const std::lock_guard<std::mutex> lock(mutex);
      if (--running == 0) done.notify_one();
    }
  }

  void close() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      closing = true;
    }
    start.notify_all();
    for (std::thread& helper : helpers) helper.join();
  }
};

ThreadTeam::ThreadTeam(const Execution& execution) : state_(std::make_unique<State>()) {
  state_->interrupted = execution.interrupted;
  state_->size = std::min(most_threads, execution.threads > 0 ? execution.threads : default_threads());
}

ThreadTeam::~ThreadTeam() { state_->close(); }

int ThreadTeam::size() const { return state_->size; }

void ThreadTeam::for_each(Index chunks, const std::function<void(Index, int)>& work) {
  State& state = *state_;
  state.work = &work;
  state.chunks = chunks;
  state.next = 0;
  state.stop = false;
  state.failure = nullptr;
  const bool alone = state.size == 1 || chunks <= 1;
  if (!alone) {
    const Index wanted = std::min<Index>(state.size, chunks) - 1;
    while (static_cast<Index>(state.helpers.size()) < wanted) {
      const int worker = static_cast<int>(state.helpers.size()) + 1;
      try {
        state.helpers.emplace_back([&state, worker, seen = state.round] { state.help(worker, seen); });
      } catch (const std::system_error&) {
        break;  // the machine has no thread left: those that there are do the work
      }
    }
    {
      const std::lock_guard<std::mutex> lock(state.mutex);
      state.running = static_cast<int>(state.helpers.size());
      ++state.round;
    }
    state.start.notify_all();
  }
  state.run_chunks(0);
  if (!alone) {
    std::unique_lock<std::mutex> lock(state.mutex);
    state.done.wait(lock, [&] { return state.running == 0; });
  }
  if (state.failure) std::rethrow_exception(state.failure);
}

}  // namespace learndock
