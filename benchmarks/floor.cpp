// SPDX-License-Identifier: Apache-2.0
//
// A limit of this machine: what each kernel's time is read against. One instruction set a build (floors.py has the
// flags); vectors are the compiler's own, as wide as the flags allow.
//
//   floor THREADS SECONDS multiply_add        multiply-adds a second, float32
//   floor THREADS SECONDS exp2                2^x a second, float32, summed, from the first cache
//   floor THREADS SECONDS read BYTES          bytes a second, from a working set of BYTES shared out among the threads
//
// All threads run at once. Each times short slices of its own work and keeps the best of them, so that what others do
// on the machine costs slices and not the figure; rates are added.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#ifdef __AVX512F__
constexpr int width = 64;
#elif defined(__AVX2__)
constexpr int width = 32;
#else
constexpr int width = 16;
#endif
constexpr int lanes = width / 4;
typedef float Vec __attribute__((vector_size(width)));
typedef std::int32_t Bits __attribute__((vector_size(width)));

// A value that the compiler knows nothing about: chains that it can tell to be equal it merges into one, sums that
// nobody reads it drops, and either makes a machine look faster or slower than it is.
#if defined(__x86_64__)
#define OPAQUE(value) asm volatile("" : "+v"(value))
#else
#define OPAQUE(value) asm volatile("" : "+w"(value))
#endif

static Vec all(float x) { return x - Vec{}; }

// Chains of dependent multiply-adds, more than latency times units of any CPU of today (4 cycles, 2 units); with the
// two factors they fit the 16 registers of AVX2.
constexpr int chains = 12;

static double multiply_add_slice() {
  constexpr int steps = 4000;
  Vec sums[chains], factor = all(0.999f), term = all(1e-3f);
  OPAQUE(factor);
  OPAQUE(term);
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) sums[i] = all(1.0f + 0.1f * static_cast<float>(i));
  for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) {
      sums[i] = sums[i] * factor + term;
      OPAQUE(sums[i]);
    }
  }
  return double(steps) * chains * lanes;
}

// sum + 2^x for x in [-125, 0]; relative error 7e-7 (AVX-512) and 4e-6: the cheapest that we know of each.
struct Exponential {
#ifdef __AVX512F__
  // 2^(i/16) by a permute, the exponent by a shift, and a quadratic whose square is completed: two multiply-adds, the
  // one that sums included.
  Vec table;
  Exponential() {
    for (int i = 0; i < 16; ++i) {
      const float power = __builtin_exp2f(static_cast<float>(i) / 16);
      std::int32_t bits;
      std::memcpy(&bits, &power, 4);
      bits -= i << 19;
      std::memcpy(reinterpret_cast<char*>(&table) + 4 * i, &bits, 4);
    }
    OPAQUE(table);
  }
  Vec add(Vec sum, Vec x) const {
    const Vec shift = all(1.5f * (1 << 19)), clamped = x < all(-125.0f) ? all(-125.0f) : x;
    const Vec moved = clamped + shift;
    const Bits bits = (Bits)moved;
    const Vec root = __builtin_shuffle(table, bits);  // by the low 4 bits of each
    const Vec power = (Vec)((Bits)root + (bits << 19));
    const Vec square = clamped - (moved - all(1.5f * (1 << 19) + 23.0f / 16));
    return power * (square * square + all(2.081034f)) + sum;
  }
#else
  Vec add(Vec sum, Vec x) const {
    const Vec shift = all(1.5f * (1 << 23)), clamped = x < all(-125.0f) ? all(-125.0f) : x;
    const Vec moved = clamped + shift, fraction = clamped - (moved - shift);
    const Bits power = ((Bits)moved << 23) + (Bits)all(1.0f);
    Vec polynomial = all(9.67e-3f) * fraction + all(5.58e-2f);
    polynomial = polynomial * fraction + all(2.4022e-1f);
    polynomial = polynomial * fraction + all(6.9314e-1f);
    polynomial = polynomial * fraction + all(1.0f);
    return (Vec)power * polynomial + sum;
  }
#endif
};

static double exp2_slice() {
  constexpr int vectors = 256, passes = 40, sums_count = 4;
  static thread_local Vec x[vectors];
  if (x[0][0] == 0)
    for (int i = 0; i < vectors; ++i) x[i] = all(-1e-2f * static_cast<float>(i + 1));
  const Exponential exponential;
  Vec sums[sums_count] = {};
  for (int pass = 0; pass < passes; ++pass)
    for (int i = 0; i < vectors; i += sums_count) {
#pragma GCC unroll 4
      for (int j = 0; j < sums_count; ++j) {
        sums[j] = exponential.add(sums[j], x[i + j]);
        OPAQUE(sums[j]);
      }
    }
  return double(passes) * vectors * lanes;
}

// One thread's share of a working set, read from front to back again and again.
class Reader {
 public:
  explicit Reader(std::size_t bytes) : data_(bytes / unit * unit / sizeof(float), 1.0f) {}

  double slice() {
    constexpr std::size_t most = std::size_t{1} << 22;  // 0.1 to 0.2 ms from memory
    const std::size_t bytes = std::min(most, data_.size() * sizeof(float));
    if (at_ + bytes > data_.size() * sizeof(float)) at_ = 0;
    const char* from = reinterpret_cast<const char*>(data_.data()) + at_;
    Vec sums[4] = {};
    for (std::size_t offset = 0; offset < bytes; offset += unit) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Vec value;
        std::memcpy(&value, from + offset + j * width, width);
        sums[j] += value;
      }
    }
    for (Vec& sum : sums) OPAQUE(sum);
    at_ += bytes;
    return double(bytes);
  }

 private:
  static constexpr std::size_t unit = 4 * width;
  std::vector<float> data_;
  std::size_t at_ = 0;
};

// slice() does some work and returns how much; made(thread) returns the slice of a thread, in that thread.
template <class Made>
static double rate(int threads, double seconds, Made made) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> best(threads, 0.0);
  std::vector<std::thread> team;
  std::atomic<int> ready{0};
  for (int thread = 0; thread < threads; ++thread)
    team.emplace_back([&, thread] {
      auto slice = made();
      slice();
      for (++ready; ready < threads;) std::this_thread::yield();
      const auto end = Clock::now() + std::chrono::duration<double>(seconds);
      while (Clock::now() < end) {
        const auto start = Clock::now();
        const double work = slice();
        const double reached = work / std::chrono::duration<double>(Clock::now() - start).count();
        if (reached > best[thread]) best[thread] = reached;
      }
    });
  for (std::thread& thread : team) thread.join();
  double sum = 0;
  for (double one : best) sum += one;
  return sum;
}

int main(int count, char** arguments) {
  if (count < 4) return 2;
  const int threads = std::atoi(arguments[1]);
  const double seconds = std::atof(arguments[2]);
  const char* what = arguments[3];
  double result = 0;
  if (!std::strcmp(what, "multiply_add")) {
    result = rate(threads, seconds, [] { return multiply_add_slice; });
  } else if (!std::strcmp(what, "exp2")) {
    result = rate(threads, seconds, [] { return exp2_slice; });
  } else if (!std::strcmp(what, "read") && count == 5) {
    const std::size_t share = std::strtoull(arguments[4], nullptr, 10) / threads;
    result = rate(threads, seconds, [share] { return [reader = Reader(share)]() mutable { return reader.slice(); }; });
  } else {
    return 2;
  }
  std::printf("%.6g\n", result);
}
