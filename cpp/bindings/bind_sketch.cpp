// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <optional>

#include "learndock/sketch.hpp"
#include "packed_arrays.hpp"

namespace learndock::bindings {

namespace {

using Shape = std::vector<py::ssize_t>;

std::unique_ptr<SketchMap> sketch_map(const py::array& landmarks_argument, const py::array& map_argument,
                                      const py::array& offsets_argument, const py::array& scales_argument,
                                      const std::vector<Index>& stages, double gamma) {
  const auto landmarks = require<double>(landmarks_argument, "landmarks", 2);
  const auto map = require<double>(map_argument, "map", 2);
  const auto offsets = require<double>(offsets_argument, "offsets", 1);
  const auto scales = require<float>(scales_argument, "scales", 1);
  if (landmarks.shape(0) < 1 || landmarks.shape(1) < 1) throw py::value_error("landmarks: expected at least one");
  require_size(map.shape(1), landmarks.shape(0), "map: last axis");
  require_size(offsets.shape(0), map.shape(0), "offsets");
  require_size(scales.shape(0), map.shape(0), "scales");
  if (!(gamma > 0)) throw py::value_error("gamma: expected a positive number");
  if (stages.empty()) throw py::value_error("stages: expected at least one");
  Index before = 0;
  for (const Index stage : stages) {
    if (stage <= before) throw py::value_error("stages: expected increasing positive numbers");
    before = stage;
  }
  require_size(before, map.shape(0), "stages: the last one");
  for (Index i = 0; i < scales.shape(0); ++i)
    if (!(scales.data()[i] > 0 && std::isfinite(scales.data()[i])))
      throw py::value_error("scales: expected positive numbers");
  return std::make_unique<SketchMap>(landmarks.data(), landmarks.shape(0), landmarks.shape(1), gamma, map.data(),
                                     offsets.data(), scales.data(), stages);
}

py::tuple encode(const SketchMap& map, const py::array& tiles, const py::array& weights, const py::array& offsets,
                 const py::array& self_argument, int threads) {
  const PackedArrays<float> batch(tiles, weights, offsets);
  const auto view = batch.view();
  require_size(view.dim, map.dim(), "tiles: dim");
  const auto self = require<double>(self_argument, "self_inner", 1);
  require_size(self.shape(0), view.count, "self_inner");
  const Index padded = tile_count(view.count) * tile_lanes;
  Array<std::int8_t> codes(padded * map.coordinates());
  Array<float> residuals(Shape{static_cast<py::ssize_t>(map.stages().size()), padded}), errors(padded);
  const double* inner = self.data();
  std::int8_t* to_codes = codes.mutable_data();
  float* to_residuals = residuals.mutable_data();
  float* to_errors = errors.mutable_data();
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    map.encode(view, inner, team, to_codes, to_residuals, to_errors);
  }
  return py::make_tuple(codes, residuals, errors);
}

SketchQuery query_of(const SketchMap& map, const py::array& points, const py::array& weights, double self_inner,
                     int threads) {
  const EmbeddingArrays embedding(points, weights);
  require_size(embedding.view().dim, map.dim(), "points: dim");
  const Embedding view = embedding.view();
  // As above: plain memory only.
  const py::gil_scoped_release released;
  const auto pairs = static_cast<double>(view.count * map.landmark_count());
  ThreadTeam team(execution(threads).for_work(double_pairs_time(pairs, view.dim)));
  return map.query(view, self_inner, team);
}

Array<double> values_at(const py::array& tiles, const py::array& weights, const py::array& offsets,
                        const py::array& points_argument, double gamma, int threads) {
  const PackedArrays<float> batch(tiles, weights, offsets);
  const auto view = batch.view();
  const auto points = require<double>(points_argument, "points", 2);
  require_size(points.shape(1), view.dim, "points: dim");
  const Index count = points.shape(0);
  const double* at = points.data();
  Array<double> values(Shape{view.count, count});
  double* to = values.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    values_at_points(view, at, count, gamma, team, to);
  }
  return values;
}

/// The sketches of a space's segments, one after the other, and what keeps their memory alive.
class SketchSet {
 public:
  SketchSet(std::shared_ptr<const SketchMap> map, const std::vector<py::tuple>& batches) : map_(std::move(map)) {
    const auto stages = static_cast<Index>(map_->stages().size());
    for (const py::tuple& batch : batches) {
      require_size(static_cast<Index>(batch.size()), 4, "batches: entries of each");
      const auto codes = require<std::int8_t>(batch[0].cast<py::array>(), "codes", 1);
      const auto residuals = require<float>(batch[1].cast<py::array>(), "residuals", 2);
      const auto errors = require<float>(batch[2].cast<py::array>(), "errors", 1);
      Sketches sketches;
      sketches.count = batch[3].cast<Index>();
      if (sketches.count < 1) throw py::value_error("batches: count: expected at least 1");
      const Index padded = sketches.blocks() * tile_lanes;
      require_size(codes.shape(0), padded * map_->coordinates(), "codes");
      require_size(residuals.shape(0), stages, "residuals");
      require_size(residuals.shape(1), padded, "residuals: last axis");
      require_size(errors.shape(0), padded, "errors");
      sketches.codes = codes.data();
      sketches.residuals = residuals.data();
      sketches.errors = errors.data();
      total_ += sketches.count;
      batches_.push_back(sketches);
      held_.insert(held_.end(), {codes, residuals, errors});
    }
  }

  Index total() const { return total_; }

  Index padded() const { return padded_total(batches_); }

  Array<Index> promising(const std::vector<const SketchQuery*>& queries,
                         const std::vector<std::optional<py::array>>& hidden, float correlation, Index count,
                         const py::array& bounds_argument, int threads) const {
    if (count < 0) throw py::value_error("count: expected 0 or more");
    auto bounds = bounds_of(queries, bounds_argument);
    if (!bounds.writeable()) throw py::value_error("bounds: expected an array that can be written to");
    std::int16_t* to_bounds = bounds.mutable_data();
    const Masks masks(*this, queries, hidden);
    Array<Index> places(Shape{static_cast<py::ssize_t>(queries.size()), count});
    Index* to = places.mutable_data();
    {
      // Plain memory from here on: other Python threads may run.
      const py::gil_scoped_release released;
      ThreadTeam team(pass_execution(queries.size(), threads));
      promising_sketches({*map_, batches_, queries, masks.data}, correlation, count, team, to_bounds, to);
    }
    return places;
  }

  py::list within(const std::vector<const SketchQuery*>& queries, const std::vector<std::optional<py::array>>& hidden,
                  const py::array& bounds_argument, const std::vector<float>& reach, int threads) const {
    const auto bounds = bounds_of(queries, bounds_argument);
    const std::int16_t* kept = bounds.data();
    require_size(static_cast<Index>(reach.size()), static_cast<Index>(queries.size()), "reach");
    const Masks masks(*this, queries, hidden);
    std::vector<SketchesWithin> found;
    {
      // As above: plain memory only.
      const py::gil_scoped_release released;
      constexpr double bound_time = 0.1;
      const double bounds_read = static_cast<double>(total_) * static_cast<double>(queries.size());
      ThreadTeam team(execution(threads).for_work(bounds_read * bound_time));
      found = sketches_within({*map_, batches_, queries, masks.data}, kept, reach.data(), team);
    }
    py::list within;
    for (const SketchesWithin& one : found)
      within.append(py::make_tuple(Array<Index>(static_cast<py::ssize_t>(one.places.size()), one.places.data()),
                                   Array<float>(static_cast<py::ssize_t>(one.bounds.size()), one.bounds.data())));
    return within;
  }

  py::tuple refine(const SketchQuery& query, float correlation, Index stage, const py::array& chosen_argument,
                   int threads) const {
    const auto chosen = require<Index>(chosen_argument, "chosen", 1);
    for (Index i = 0; i < chosen.shape(0); ++i)
      if (chosen.data()[i] < 0 || chosen.data()[i] >= total_) throw py::value_error("chosen: outside the sketches");
    if (stage < 0 || stage >= static_cast<Index>(map_->stages().size())) throw py::value_error("stage: no such one");
    require_queries({&query});
    const Index count = chosen.shape(0);
    const Index* places = chosen.data();
    Array<float> bounds(count), guesses(count);
    float* to_bounds = bounds.mutable_data();
    float* to_guesses = guesses.mutable_data();
    {
      // As above: plain memory only.
      const py::gil_scoped_release released;
      constexpr double coordinate_time = 0.5;  // a row from anywhere in memory for each, and a block of the first stage
      const auto coordinates = static_cast<double>(count * map_->coordinates());
      ThreadTeam team(execution(threads).for_work(coordinates * coordinate_time));
      refined_bounds(*map_, batches_, query, correlation, stage, places, count, team, to_bounds, to_guesses);
    }
    return py::make_tuple(bounds, guesses);
  }

 private:
  /// What each query may not be given, checked.
  struct Masks {
    std::vector<Array<bool>> held;
    std::vector<const std::uint8_t*> data;

    Masks(const SketchSet& set, const std::vector<const SketchQuery*>& queries,
          const std::vector<std::optional<py::array>>& hidden) {
      set.require_queries(queries);
      require_size(static_cast<Index>(hidden.size()), static_cast<Index>(queries.size()), "hidden");
      for (const auto& argument : hidden) {
        data.push_back(nullptr);
        if (!argument) continue;
        held.push_back(require<bool>(*argument, "hidden", 1));
        require_size(held.back().shape(0), set.total_, "hidden");
        data.back() = reinterpret_cast<const std::uint8_t*>(held.back().data());
      }
    }
  };

  Array<std::int16_t> bounds_of(const std::vector<const SketchQuery*>& queries, const py::array& argument) const {
    const auto bounds = require<std::int16_t>(argument, "bounds", 1);
    require_size(bounds.shape(0), static_cast<Index>(queries.size()) * padded(), "bounds");
    return bounds;
  }

  Execution pass_execution(std::size_t queries, int threads) const {
    constexpr double coordinate_time = 0.04;
    const auto coordinates = static_cast<double>(total_ * (map_->stages()[0] + 4)) * static_cast<double>(queries);
    return execution(threads).for_work(coordinates * coordinate_time);
  }

  void require_queries(const std::vector<const SketchQuery*>& queries) const {
    for (const SketchQuery* query : queries) {
      require_size(static_cast<Index>(query->coordinates.size()), map_->coordinates(), "queries: coordinates");
      require_size(query->residuals.size(), map_->stages().size(), "queries: stages");
    }
  }

  std::shared_ptr<const SketchMap> map_;
  std::vector<Sketches> batches_;
  std::vector<py::array> held_;
  Index total_ = 0;
};

}  // namespace

void bind_sketch(py::module_& module) {
  py::class_<SketchQuery>(module, "SketchQuery")
      .def_property_readonly("coordinates",
                             [](const SketchQuery& query) {
                               return Array<float>(static_cast<py::ssize_t>(query.coordinates.size()),
                                                   query.coordinates.data());
                             })
      .def_property_readonly("residuals",
                             [](const SketchQuery& query) {
                               return Array<float>(static_cast<py::ssize_t>(query.residuals.size()),
                                                   query.residuals.data());
                             })
      .def_readonly("error", &SketchQuery::error);

  py::class_<SketchMap, std::shared_ptr<SketchMap>>(module, "SketchMap")
      .def(py::init([](const py::array& landmarks, const py::array& map, const py::array& offsets,
                       const py::array& scales, const std::vector<Index>& stages, double gamma) {
             return std::shared_ptr<SketchMap>(sketch_map(landmarks, map, offsets, scales, stages, gamma));
           }),
           py::arg("landmarks"), py::arg("map"), py::arg("offsets"), py::arg("scales"), py::arg("stages"),
           py::arg("gamma"))
      .def("encode", &encode, py::arg("tiles"), py::arg("weights"), py::arg("offsets"), py::arg("self_inner"),
           py::arg("threads"))
      .def("query", &query_of, py::arg("points"), py::arg("weights"), py::arg("self_inner"), py::arg("threads"));

  py::class_<SketchSet>(module, "SketchSet")
      .def(py::init([](std::shared_ptr<SketchMap> map, const std::vector<py::tuple>& batches) {
             return SketchSet(std::move(map), batches);
           }),
           py::arg("map"), py::arg("batches"))
      .def_property_readonly("total", &SketchSet::total)
      .def_property_readonly("padded", &SketchSet::padded)
      .def("promising", &SketchSet::promising, py::arg("queries"), py::arg("hidden"), py::arg("correlation"),
           py::arg("count"), py::arg("bounds"), py::arg("threads"))
      .def("within", &SketchSet::within, py::arg("queries"), py::arg("hidden"), py::arg("bounds"), py::arg("reach"),
           py::arg("threads"))
      .def("refine", &SketchSet::refine, py::arg("query"), py::arg("correlation"), py::arg("stage"), py::arg("chosen"),
           py::arg("threads"));

  module.def("values_at_points", &values_at, py::arg("tiles"), py::arg("weights"), py::arg("offsets"),
             py::arg("points"), py::arg("gamma"), py::arg("threads"));
}

}  // namespace learndock::bindings
