// SPDX-License-Identifier: Apache-2.0
//
// Embeddings that arrive as arrays, checked.
#pragma once

#include "arrays.hpp"

namespace learndock::bindings {

struct EmbeddingArrays {
  Array<double> points, weights;

  EmbeddingArrays(const py::array& points_argument, const py::array& weights_argument)
      : points(require<double>(points_argument, "points", 2)),
        weights(require<double>(weights_argument, "weights", 1)) {
    require_size(weights.shape(0), points.shape(0), "weights");
  }

  Embedding view() const { return {points.data(), weights.data(), points.shape(0), points.shape(1)}; }
};

/// Which offsets are looked at: all of a batch, or the ends alone, where a call reads some embeddings and looks at
/// theirs by `require_embedding`. A million take longer than the embeddings of a certified search.
enum class OffsetCheck { all, ends };

/// A packed batch and the arrays that keep its memory alive.
template <class T>
struct PackedArrays {
  Array<T> tiles, weights;
  Array<Index> offsets;

  PackedArrays(const py::array& tiles_argument, const py::array& weights_argument, const py::array& offsets_argument,
               OffsetCheck check = OffsetCheck::all)
      : tiles(require<T>(tiles_argument, "tiles", 3)),
        weights(require<T>(weights_argument, "weights", 1)),
        offsets(require<Index>(offsets_argument, "offsets", 1)) {
    require_size(tiles.shape(2), tile_lanes, "tiles: last axis");
    if (offsets.shape(0) < 1 || offsets.at(0) != 0) throw py::value_error("offsets: expected a first entry of 0");
    const Index points = offsets.data()[offsets.shape(0) - 1];
    require_size(weights.shape(0), points, "weights");
    require_size(tiles.shape(0), tile_count(points), "tiles");
    if (check == OffsetCheck::all)
      for (Index i = 0; i + 1 < offsets.shape(0); ++i) require_increasing(i);
  }

  /// That an embedding is one of the batch, with points that lie in it.
  void require_embedding(Index i, const char* name) const {
    if (i < 0 || i + 1 >= offsets.shape(0)) throw py::value_error(std::string(name) + ": outside the batch");
    require_increasing(i);
    if (offsets.data()[i] < 0 || offsets.data()[i + 1] > weights.shape(0))
      throw py::value_error("offsets: outside the points");
  }

  PackedEmbeddings<T> view() const {
    return {tiles.data(), weights.data(), offsets.data(), offsets.shape(0) - 1, tiles.shape(1)};
  }

 private:
  void require_increasing(Index i) const {
    if (offsets.data()[i + 1] <= offsets.data()[i]) throw py::value_error("offsets: expected increasing entries");
  }
};

}  // namespace learndock::bindings
