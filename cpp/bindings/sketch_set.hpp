// SPDX-License-Identifier: Apache-2.0
//
// Sketches in NumPy's arrays: those of a batch as they are made, and those of a space's segments.
#pragma once

#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "learndock/sketch.hpp"
#include "learndock/sketch_search.hpp"
#include "packed_arrays.hpp"

namespace learndock::bindings {

/// Room for the sketches of a batch.
struct SketchRoom {
  using Shape = std::vector<py::ssize_t>;

  Array<std::int8_t> codes;
  Array<float> residuals, errors;
  Array<std::int32_t> order;
  Array<std::int8_t> ball_codes;
  Array<float> balls;
  SketchArrays arrays;

  SketchRoom(const SketchMap& map, Index count)
      : SketchRoom(map, count, tile_count(count) * tile_lanes, tile_count(tile_count(count)) * tile_lanes) {}

  py::tuple tuple() const { return py::make_tuple(codes, residuals, errors, order, ball_codes, balls); }

 private:
  SketchRoom(const SketchMap& map, Index count, Index lanes, Index ball_lanes)
      : codes(lanes * map.coordinates()),
        residuals(Shape{static_cast<py::ssize_t>(map.stages().size()), lanes}),
        errors(lanes),
        order(count),
        ball_codes(ball_lanes * map.stages()[0]),
        balls(Shape{2, ball_lanes}),
        arrays{codes.mutable_data(), residuals.mutable_data(),  errors.mutable_data(),
               order.mutable_data(), ball_codes.mutable_data(), balls.mutable_data()} {}
};

/// The sketches of a space's segments, one after the other, checked, and what keeps their memory alive.
class SketchSet {
 public:
  SketchSet(std::shared_ptr<const SketchMap> map, const std::vector<py::tuple>& batches) : map_(std::move(map)) {
    const auto stages = static_cast<Index>(map_->stages().size());
    for (const py::tuple& batch : batches) {
      require_size(static_cast<Index>(batch.size()), 7, "batches: entries of each");
      const auto codes = require<std::int8_t>(batch[0].cast<py::array>(), "codes", 1);
      const auto residuals = require<float>(batch[1].cast<py::array>(), "residuals", 2);
      const auto errors = require<float>(batch[2].cast<py::array>(), "errors", 1);
      const auto order = require<std::int32_t>(batch[3].cast<py::array>(), "order", 1);
      const auto ball_codes = require<std::int8_t>(batch[4].cast<py::array>(), "ball codes", 1);
      const auto balls = require<float>(batch[5].cast<py::array>(), "balls", 2);
      Sketches sketches;
      sketches.count = batch[6].cast<Index>();
      if (sketches.count < 1) throw py::value_error("batches: count: expected at least 1");
      const Index padded = sketches.blocks() * tile_lanes;
      require_size(codes.shape(0), padded * map_->coordinates(), "codes");
      require_size(residuals.shape(0), stages, "residuals");
      require_size(residuals.shape(1), padded, "residuals: last axis");
      require_size(errors.shape(0), padded, "errors");
      require_size(order.shape(0), sketches.count, "order");
      require_size(ball_codes.shape(0), sketches.ball_lanes() * map_->stages()[0], "ball codes");
      require_size(balls.shape(0), 2, "balls");
      require_size(balls.shape(1), sketches.ball_lanes(), "balls: last axis");
      // A copy: what was checked stays as it is, whatever becomes of a file.
      orders_.emplace_back(order.data(), order.data() + sketches.count);
      lanes_.push_back(lanes_of_order(orders_.back().data(), sketches.count));
      sketches.codes = codes.data();
      sketches.residuals = residuals.data();
      sketches.errors = errors.data();
      sketches.order = orders_.back().data();
      sketches.lanes = lanes_.back().data();
      sketches.ball_codes = ball_codes.data();
      sketches.balls = balls.data();
      total_ += sketches.count;
      batches_.push_back(sketches);
      held_.insert(held_.end(), {codes, residuals, errors, ball_codes, balls});
    }
  }

  const SketchMap& map() const { return *map_; }
  const std::vector<Sketches>& batches() const { return batches_; }
  Index total() const { return total_; }
  Index ball_lanes() const { return ball_lanes_of(batches_); }

  Array<Index> require_places(const py::array& chosen_argument) const {
    auto chosen = require<Index>(chosen_argument, "chosen", 1);
    for (Index i = 0; i < chosen.shape(0); ++i)
      if (chosen.data()[i] < 0 || chosen.data()[i] >= total_) throw py::value_error("chosen: outside the sketches");
    return chosen;
  }

 private:
  std::shared_ptr<const SketchMap> map_;
  std::vector<Sketches> batches_;
  std::vector<std::vector<std::int32_t>> orders_, lanes_;
  std::vector<py::array> held_;
  Index total_ = 0;
};

}  // namespace learndock::bindings
