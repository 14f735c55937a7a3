// SPDX-License-Identifier: Apache-2.0
//
// What a fuzzer's bytes stand for: small sizes, and numbers of any bits among ordinary ones. Arrays are as long as what
// they hold, so that the address sanitizer sees a step beyond.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "learndock/embedding.hpp"
#include "learndock/parallel.hpp"

namespace learndock::fuzz {

/// Ends the process where a result is not as it must be: what the fuzzer looks for.
inline void require(bool holds, int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "line %d does not hold\n", line);
  std::abort();
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  bool flag() { return (byte() & 1) != 0; }

  /// first .. last.
  Index size(Index first, Index last) { return first + byte() % (last - first + 1); }

  /// Mostly a multiple of 1/16 up to 8; else what is extreme, or any bits.
  template <class Scalar>
  Scalar any() {
    const std::uint8_t choice = byte();
    if (choice < 224) return static_cast<Scalar>(static_cast<std::int8_t>(byte())) / 16;
    using Limits = std::numeric_limits<Scalar>;
    constexpr Scalar extremes[] = {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(),  Limits::max(),
                                   Limits::lowest(),    Limits::min(),      Limits::denorm_min(), Scalar(-0.0)};
    if (choice < 232) return extremes[choice - 224];
    if (choice < 240) return std::ldexp(Scalar(1), static_cast<int>(static_cast<std::int8_t>(byte())));
    Scalar bits;
    std::uint8_t raw[sizeof(Scalar)];
    for (std::uint8_t& each : raw) each = byte();
    std::memcpy(&bits, raw, sizeof bits);
    return bits;
  }

  /// A number that the Python layer lets through: finite, of a magnitude up to 1e150.
  double checked() {
    const double value = any<double>();
    return std::abs(value) <= 1e150 ? value : 1.0;
  }

  /// Positive, up to 1e300.
  double gamma() {
    const double value = std::abs(any<double>());
    return value > 0 && value <= 1e300 ? value : 0.5;
  }

  template <class Scalar>
  std::vector<Scalar> any_of(Index count) {
    std::vector<Scalar> values(static_cast<std::size_t>(count));
    for (Scalar& value : values) value = any<Scalar>();
    return values;
  }

  std::vector<double> checked_of(Index count) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& value : values) value = checked();
    return values;
  }

  std::vector<std::int8_t> codes(Index count) {
    std::vector<std::int8_t> values(static_cast<std::size_t>(count));
    for (std::int8_t& value : values) value = static_cast<std::int8_t>(byte());
    return values;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

/// What a segment's files may hold: any points and weights, offsets that a binding has let through.
struct Batch {
  std::vector<Index> offsets{0};
  std::vector<float> tiles, weights;
  Index dim;

  Batch(Input& input, Index most, Index of_dim) : dim(of_dim) {
    const Index count = input.size(1, most);
    for (Index i = 0; i < count; ++i) offsets.push_back(offsets.back() + input.size(1, 5));
    tiles = input.any_of<float>(tile_count(offsets.back()) * dim * tile_lanes);
    weights = input.any_of<float>(offsets.back());
  }

  PackedEmbeddings<float> view() const {
    return {tiles.data(), weights.data(), offsets.data(), static_cast<Index>(offsets.size()) - 1, dim};
  }
};

/// A user's embedding, as the Python layer lets it through.
struct User {
  std::vector<double> points, weights;
  Index dim;

  User(Input& input, Index of_dim) : dim(of_dim) {
    const Index count = input.size(1, 9);
    points = input.checked_of(count * dim);
    weights = input.checked_of(count);
  }

  Embedding view() const { return {points.data(), weights.data(), static_cast<Index>(weights.size()), dim}; }
};

inline Execution one_thread() { return {1, {}}; }

}  // namespace learndock::fuzz
