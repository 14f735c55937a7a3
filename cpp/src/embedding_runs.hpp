// SPDX-License-Identifier: Apache-2.0
//
// How a batch of embeddings is cut among threads: runs of whole embeddings, and the tiles that hold their points.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "aligned_memory.hpp"
#include "learndock/embedding.hpp"
#include "learndock/instruction_set.hpp"
#include "learndock/parallel.hpp"

namespace learndock {

/// The tiles that hold the points begin .. end - 1.
struct TileRange {
  Index first;
  Index count;
  TileRange(Index begin, Index end) : first(begin / tile_lanes), count(end > begin ? tile_count(end) - first : 0) {}
  Index first_point() const { return first * tile_lanes; }
  Index points() const { return count * tile_lanes; }
};

/// Runs of whole embeddings for one chunk of work each. Depends on batch and queries alone, not on the threads.
std::vector<Index> chunk_bounds(const Index* offsets, Index count, Index query_rows, Index dim);

template <class Scalar>
const Scalar* tiles_of(const PackedEmbeddings<Scalar>& batch, const TileRange& range) {
  return batch.tiles + range.first * batch.dim * tile_lanes;
}

/// Has the processor fetch what is read next from another place: the first kilobytes, after which it sees by itself
/// where the reading goes. Inline by force, as what calls it: GCC takes a function that only prefetches for one without
/// effect, and leaves out its calls.
[[gnu::always_inline]] inline void fetch_ahead(const void* from, Index bytes) {
  constexpr Index line = 64, most = 4096;
  const char* begin = static_cast<const char*>(from);
  for (Index at = 0; at < std::min(bytes, most); at += line) __builtin_prefetch(begin + at);
}

template <class Scalar>
[[gnu::always_inline]] inline void fetch_ahead(const PackedEmbeddings<Scalar>& batch, Index i) {
  const TileRange range(batch.offsets[i], batch.offsets[i + 1]);
  fetch_ahead(tiles_of(batch, range), range.points() * batch.dim * static_cast<Index>(sizeof(Scalar)));
  fetch_ahead(batch.weights + batch.offsets[i], range.points() * static_cast<Index>(sizeof(Scalar)));
}

/// Has the processor find the pages on which an embedding lies. In a dock of gigabytes that takes it about as long as
/// reading them; asked for earlier, the reading need not wait. Of a large one the first, for the same reason as above.
[[gnu::always_inline]] inline void find_pages(const PackedEmbeddings<float>& batch, Index i) {
  constexpr Index page = 4096, most = 16 * page;
  const TileRange range(batch.offsets[i], batch.offsets[i + 1]);
  const auto* begin = reinterpret_cast<const char*>(tiles_of(batch, range));
  const Index bytes = std::min(most, range.points() * batch.dim * static_cast<Index>(sizeof(float)));
  for (Index at = 0; at < bytes; at += page) __builtin_prefetch(begin + at, 0, 2);
  __builtin_prefetch(begin + bytes - 1, 0, 2);
  __builtin_prefetch(batch.weights + batch.offsets[i]);
}

/// sum_p weights[p] values[p] over the points of one embedding, in float64; values begin at point `first`.
template <class Scalar, class Value>
double weighted_sum(const PackedEmbeddings<Scalar>& batch, Index embedding, const Value* values, Index first) {
  double sum = 0;
  for (Index p = batch.offsets[embedding]; p < batch.offsets[embedding + 1]; ++p)
    sum += static_cast<double>(batch.weights[p]) * static_cast<double>(values[p - first]);
  return sum;
}

/// work(begin, end, range, worker) for runs of embeddings and the tiles that hold their points, by all threads.
template <class Scalar, class Work>
void for_each_run(const PackedEmbeddings<Scalar>& batch, Index query_rows, ThreadTeam& team, const Work& work) {
  const std::vector<Index> bounds = chunk_bounds(batch.offsets, batch.count, query_rows, batch.dim);
  team.for_each(static_cast<Index>(bounds.size()) - 1, [&](Index chunk, int worker) {
    const Index begin = bounds[chunk], end = bounds[chunk + 1];
    work(begin, end, TileRange(batch.offsets[begin], batch.offsets[end]), worker);
  });
}

/// The rows of one embedding of a batch, in float64.
struct UnpackedRows {
  std::vector<double> points, weights;

  Embedding of(const PackedEmbeddings<float>& batch, Index i) {
    const Index begin = batch.offsets[i], end = batch.offsets[i + 1];
    points.resize((end - begin) * batch.dim);
    unpack_points(batch.tiles, batch.dim, begin, end, points.data());
    weights.assign(batch.weights + begin, batch.weights + end);
    return {points.data(), weights.data(), end - begin, batch.dim};
  }
};

/// Memory of one worker for sums in float64.
struct ExactScratch {
  AlignedArray<double> widened, values;

  /// values[p] = mu(y_p) at the points of the embeddings begin .. end - 1, p from the first of the tiles that hold
  /// them.
  template <class Scalar>
  const double* embed_run(const Embedding& query, const PackedEmbeddings<Scalar>& batch, Index begin, Index end,
                          double gamma) {
    const TileRange range(batch.offsets[begin], batch.offsets[end]);
    const Index from = batch.offsets[begin] - range.first_point(), to = batch.offsets[end] - range.first_point();
    double* found = values.reserve(range.points());
    if constexpr (sizeof(Scalar) == sizeof(double))
      active_kernels().embed_double(query, gamma, tiles_of(batch, range), from, to, found);
    else
      active_kernels().embed_double_of_float(query, gamma, tiles_of(batch, range), from, to,
                                             widened.reserve(batch.dim * tile_lanes), found);
    return found;
  }

  /// <query, batch[i]>
  template <class Scalar>
  double inner_product(const Embedding& query, const PackedEmbeddings<Scalar>& batch, Index i, double gamma) {
    const TileRange range(batch.offsets[i], batch.offsets[i + 1]);
    return weighted_sum(batch, i, embed_run(query, batch, i, i + 1, gamma), range.first_point());
  }
};

/// Memory of one worker that evaluates queries with a bound on the error.
template <class Query>
struct BoundedScratch {
  AlignedArray<typename Query::Scratch> scratch;
  AlignedArray<float> values, errors;
};

/// The products of one query with the embeddings begin .. end - 1, whose points lie in `range`. `next` are the tiles
/// that are read after them; null for those behind.
template <class Query>
void bounded_products_of_run(const Query& query, const PackedEmbeddings<float>& batch, Index begin, Index end,
                             const TileRange& range, BoundedScratch<Query>& own, double* products, double* errors,
                             const float* next = nullptr) {
  auto* scratch = own.scratch.reserve(embed_scratch_size(batch.dim));
  float* values = own.values.reserve(range.points());
  float* value_errors = own.errors.reserve(range.points());
  query.embed({tiles_of(batch, range), range.count, next}, scratch, values, value_errors);
  for (Index i = begin; i < end; ++i) {
    const Index first = batch.offsets[i];
    double product = 0, error = 0;
    active_kernels().weighted_sums(batch.weights + first, values + first - range.first_point(),
                                   value_errors + first - range.first_point(), batch.offsets[i + 1] - first, &product,
                                   &error);
    if (!std::isfinite(product) || !std::isfinite(error)) {
      // A norm left float's range. The bound says that nothing is known.
      product = 0;
      error = std::numeric_limits<double>::infinity();
    }
    products[i - begin] = product;
    errors[i - begin] = error;
  }
}

/// products[q, i] = <queries[q], batch[i]> and |products[q, i] - exact| <= errors[q, i].
template <class Query>
void bounded_inner_products(const std::vector<const Query*>& queries, const PackedEmbeddings<float>& batch,
                            ThreadTeam& team, double* products, double* errors) {
  Index query_rows = 0;
  for (const Query* query : queries) query_rows += query->row_count();
  std::vector<BoundedScratch<Query>> scratch(team.size());
  for_each_run(batch, query_rows, team, [&](Index begin, Index end, const TileRange& range, int worker) {
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const Index at = static_cast<Index>(q) * batch.count + begin;
      bounded_products_of_run(*queries[q], batch, begin, end, range, scratch[worker], products + at, errors + at);
    }
  });
}

/// products[i] = <query, chosen[i]>, and bounds as above.
template <class Query>
void bounded_chosen_products(const Query& query, const std::vector<PackedEmbeddings<float>>& batches,
                             const std::vector<EmbeddingPlace>& chosen, ThreadTeam& team, double* products,
                             double* errors) {
  // By one thread, which asks for what it will read: a time of memory ahead where the offsets lie, an embedding ahead
  // of the pages, and those that come next piece by piece. Of 2,400 that lie anywhere in 8 GB, 8 KB each, that
  // takes 1.2 us each, 0.8 of them arithmetic; 1.4 without the pages; no more ahead helps.
  constexpr Index together = 8, far_ahead = 16, pages_ahead = 2;
  const auto count = static_cast<Index>(chosen.size());
  std::vector<BoundedScratch<Query>> scratch(team.size());
  team.for_each((count + together - 1) / together, [&](Index chunk, int worker) {
    const Index end = std::min(count, (chunk + 1) * together);
    for (Index number = chunk * together; number < end; ++number) {
      if (number + far_ahead < count)
        __builtin_prefetch(batches[chosen[number + far_ahead].batch].offsets + chosen[number + far_ahead].index);
      if (number + pages_ahead < count)
        find_pages(batches[chosen[number + pages_ahead].batch], chosen[number + pages_ahead].index);
      const float* next = nullptr;
      if (number + 1 < count) {
        const Index after = chosen[number + 1].index;
        const PackedEmbeddings<float>& batch = batches[chosen[number + 1].batch];
        next = tiles_of(batch, TileRange(batch.offsets[after], batch.offsets[after + 1]));
        fetch_ahead(batch.weights + batch.offsets[after],
                    (batch.offsets[after + 1] - batch.offsets[after]) * static_cast<Index>(sizeof(float)));
      }
      const Index i = chosen[number].index;
      const PackedEmbeddings<float>& batch = batches[chosen[number].batch];
      const TileRange range(batch.offsets[i], batch.offsets[i + 1]);
      bounded_products_of_run(query, batch, i, i + 1, range, scratch[worker], products + number, errors + number, next);
    }
  });
}

}  // namespace learndock
