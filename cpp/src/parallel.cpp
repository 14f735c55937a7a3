// SPDX-License-Identifier: Apache-2.0
#include "learndock/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
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

/// The calling thread's processor, from which its helpers keep away. Left to itself, Linux was seen to wake a helper
/// where the caller ran, thousands of times in a row with the other processor idle: both then took turns.
class CallersProcessor {
 public:
#ifdef __linux__
  /// In the calling thread, before the helpers are woken.
  void note() {
    if (!asked_) known_ = sched_getaffinity(0, sizeof allowed_, &allowed_) == 0;
    asked_ = true;
    processor_.store(sched_getcpu(), std::memory_order_relaxed);
  }

  /// In a helper: takes any other processor that the caller may use, if there is one.
  void leave() const {
    const int processor = processor_.load(std::memory_order_relaxed);
    if (!known_ || processor < 0 || processor != sched_getcpu()) return;
    cpu_set_t others = allowed_;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others);
  }

 private:
  bool asked_ = false, known_ = false;  // written once, before there are helpers
  cpu_set_t allowed_;
  std::atomic<int> processor_{-1};
#else
  void note() {}
  void leave() const {}
#endif
};

/// How long a thread looks for what it waits for before it sleeps: a call that shares out its work thousands of times
/// (herding) has some 50 us between, and waking a thread takes as long. At first without a system call.
constexpr auto longest_spin = std::chrono::microseconds(50);

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Whether `ready` came true before it was time to sleep.
template <class Ready>
bool spin_until(const Ready& ready) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    for (int look = 0; look < 32; ++look) {
      if (ready()) return true;
      pause_briefly();
    }
    const auto spent = std::chrono::steady_clock::now() - start;
    if (spent > longest_spin) return ready();
  }
}

/// A round of work that helpers may join until the calling thread closes it: one that is late, because others use its
/// processor, is not waited for. The round's number, whether it is closed, and how many helpers are inside, in one
/// word.
class Gate {
 public:
  using Word = std::uint64_t;

  void open() { word_ = (round(word_) + 1) << round_shift; }
  void close() { word_ |= closed; }
  bool empty() const { return (word_ & inside) == 0; }
  Word number() const { return round(word_); }
  bool open_after(Word seen) const { return open_after(word_, seen); }

  /// Joins a round later than `seen`, and says which.
  bool enter(Word& seen) {
    Word word = word_;
    while (open_after(word, seen))
      if (word_.compare_exchange_weak(word, word + 1)) {
        seen = round(word);
        return true;
      }
    return false;
  }

  /// True for the last one out of a closed round.
  bool leave() { return ((--word_) & (closed | inside)) == closed; }

 private:
  static constexpr int round_shift = 32;
  static constexpr Word closed = Word{1} << 31, inside = closed - 1;

  static Word round(Word word) { return word >> round_shift; }
  static bool open_after(Word word, Word seen) { return round(word) != seen && !(word & closed); }

  std::atomic<Word> word_{closed};
};

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

  /// More threads than processors: those that look take time from those that work.
  bool spins = true;

  Gate gate;
  CallersProcessor callers_processor;
  const Work* work = nullptr;
  Index chunks = 0;

  // For those who sleep: each says so before it looks at the gate for the last time, and whoever changes the gate looks
  // whether somebody said so.
  std::mutex mutex;
  std::condition_variable start;
  std::condition_variable done;
  std::atomic<int> sleeping{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> closing{false};
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

  void wake(std::condition_variable& sleepers) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
    }
    sleepers.notify_all();
  }

  void wait_for_round(Gate::Word seen) {
    const auto ready = [&] { return closing || gate.open_after(seen); };
    if (spins && spin_until(ready)) return;
    std::unique_lock<std::mutex> lock(mutex);
    ++sleeping;
    start.wait(lock, ready);
    --sleeping;
  }

  void wait_for_helpers() {
    const auto ready = [&] { return gate.empty(); };
    if (spins && spin_until(ready)) return;
    std::unique_lock<std::mutex> lock(mutex);
    caller_sleeps = true;
    done.wait(lock, ready);
    caller_sleeps = false;
  }

  // `seen`: the round that was over when the helper was made; it must not join that one.
  void help(int worker, Gate::Word seen) {
    for (;;) {
      callers_processor.leave();
      wait_for_round(seen);
      if (closing) return;
      callers_processor.leave();
      if (!gate.enter(seen)) continue;
      run_chunks(worker);
      if (gate.leave() && caller_sleeps) wake(done);
    }
  }

  void close() {
    closing = true;
    wake(start);
    for (std::thread& helper : helpers) helper.join();
  }
};

ThreadTeam::ThreadTeam(const Execution& execution) : state_(std::make_unique<State>()) {
  state_->interrupted = execution.interrupted;
  state_->size = std::min(most_threads, execution.threads > 0 ? execution.threads : default_threads());
  if (state_->size > 1) state_->spins = state_->size <= std::min(processors_allowed(), processors_of_quota());
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
    state.callers_processor.note();
    const Index wanted = std::min<Index>(state.size, chunks) - 1;
    while (static_cast<Index>(state.helpers.size()) < wanted) {
      const int worker = static_cast<int>(state.helpers.size()) + 1;
      try {
        state.helpers.emplace_back([&state, worker, seen = state.gate.number()] { state.help(worker, seen); });
      } catch (const std::system_error&) {
        break;  // the machine has no thread left: those that there are do the work
      }
    }
    state.gate.open();
    if (state.sleeping > 0) state.wake(state.start);
  }
  state.run_chunks(0);
  if (!alone) {
    state.gate.close();
    state.wait_for_helpers();
  }
  if (state.failure) std::rethrow_exception(state.failure);
}

}  // namespace learndock
