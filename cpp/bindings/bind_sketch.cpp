// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <optional>

#include "sketch_set.hpp"

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
  SketchRoom room(map, view.count);
  const double* inner = self.data();
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    map.encode(view, inner, team, room.arrays);
  }
  return room.tuple();
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

void require_queries(const SketchSet& set, const std::vector<const SketchQuery*>& queries) {
  for (const SketchQuery* query : queries) {
    require_size(static_cast<Index>(query->coordinates.size()), set.map().coordinates(), "queries: coordinates");
    require_size(query->residuals.size(), set.map().stages().size(), "queries: stages");
  }
}

/// What each query may not be given, checked.
struct Masks {
  std::vector<Array<bool>> held;
  std::vector<const std::uint8_t*> data;

  Masks(const SketchSet& set, const std::vector<const SketchQuery*>& queries,
        const std::vector<std::optional<py::array>>& hidden) {
    require_queries(set, queries);
    require_size(static_cast<Index>(hidden.size()), static_cast<Index>(queries.size()), "hidden");
    for (const auto& argument : hidden) {
      data.push_back(nullptr);
      if (!argument) continue;
      held.push_back(require<bool>(*argument, "hidden", 1));
      require_size(held.back().shape(0), set.total(), "hidden");
      data.back() = reinterpret_cast<const std::uint8_t*>(held.back().data());
    }
  }
};

Array<std::int16_t> bounds_of(const SketchSet& set, const std::vector<const SketchQuery*>& queries,
                              const py::array& argument) {
  const auto bounds = require<std::int16_t>(argument, "bounds", 1);
  require_size(bounds.shape(0), static_cast<Index>(queries.size()) * set.ball_lanes(), "bounds");
  return bounds;
}

Execution pass_execution(const SketchSet& set, std::size_t queries, int threads) {
  constexpr double coordinate_time = 0.04;
  const auto coordinates =
      static_cast<double>(set.ball_lanes() * (set.map().stages()[0] + 4)) * static_cast<double>(queries);
  return execution(threads).for_work(coordinates * coordinate_time);
}

Array<Index> promising(const SketchSet& set, const std::vector<const SketchQuery*>& queries,
                       const std::vector<std::optional<py::array>>& hidden, float correlation, Index count,
                       const py::array& bounds_argument, int threads) {
  if (count < 0) throw py::value_error("count: expected 0 or more");
  auto bounds = bounds_of(set, queries, bounds_argument);
  if (!bounds.writeable()) throw py::value_error("bounds: expected an array that can be written to");
  std::int16_t* to_bounds = bounds.mutable_data();
  const Masks masks(set, queries, hidden);
  Array<Index> places(Shape{static_cast<py::ssize_t>(queries.size()), count});
  Index* to = places.mutable_data();
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    ThreadTeam team(pass_execution(set, queries.size(), threads));
    promising_sketches({set.map(), set.batches(), queries, masks.data}, correlation, count, team, to_bounds, to);
  }
  return places;
}

py::list within(const SketchSet& set, const std::vector<const SketchQuery*>& queries,
                const std::vector<std::optional<py::array>>& hidden, const py::array& bounds_argument,
                const std::vector<float>& reach, int threads) {
  const auto bounds = bounds_of(set, queries, bounds_argument);
  const std::int16_t* kept = bounds.data();
  require_size(static_cast<Index>(reach.size()), static_cast<Index>(queries.size()), "reach");
  const Masks masks(set, queries, hidden);
  std::vector<SketchesWithin> found;
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    constexpr double coordinate_time = 1.0;  // of a block
    const SketchSearch search{set.map(), set.batches(), queries, masks.data};
    const auto blocks = static_cast<double>(balls_to_look_into(search, kept, reach.data()));
    const double time = blocks * static_cast<double>(set.map().stages()[0] + 16) * coordinate_time;
    ThreadTeam team(execution(threads).for_work(time));
    found = sketches_within(search, kept, reach.data(), team);
  }
  py::list within;
  for (const SketchesWithin& one : found)
    within.append(py::make_tuple(Array<Index>(static_cast<py::ssize_t>(one.places.size()), one.places.data()),
                                 Array<float>(static_cast<py::ssize_t>(one.bounds.size()), one.bounds.data())));
  return within;
}

py::tuple refine(const SketchSet& set, const SketchQuery& query, float correlation, Index stage,
                 const py::array& chosen_argument, int threads) {
  const Array<Index> chosen = set.require_places(chosen_argument);
  if (stage < 0 || stage >= static_cast<Index>(set.map().stages().size())) throw py::value_error("stage: no such one");
  require_queries(set, {&query});
  const Index count = chosen.shape(0);
  const Index* places = chosen.data();
  Array<float> bounds(count), guesses(count);
  float* to_bounds = bounds.mutable_data();
  float* to_guesses = guesses.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    constexpr double coordinate_time = 0.5;  // a row from anywhere in memory for each, and a block of the first stage
    const auto coordinates = static_cast<double>(count * set.map().coordinates());
    ThreadTeam team(execution(threads).for_work(coordinates * coordinate_time));
    refined_bounds(set.map(), set.batches(), query, correlation, stage, places, count, team, to_bounds, to_guesses);
  }
  return py::make_tuple(bounds, guesses);
}

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

  py::class_<SketchSet, std::shared_ptr<SketchSet>>(module, "SketchSet")
      .def(py::init([](std::shared_ptr<SketchMap> map, const std::vector<py::tuple>& batches) {
             return std::make_shared<SketchSet>(std::move(map), batches);
           }),
           py::arg("map"), py::arg("batches"))
      .def_property_readonly("total", &SketchSet::total)
      .def_property_readonly("ball_lanes", &SketchSet::ball_lanes)
      .def("promising", &promising, py::arg("queries"), py::arg("hidden"), py::arg("correlation"), py::arg("count"),
           py::arg("bounds"), py::arg("threads"))
      .def("within", &within, py::arg("queries"), py::arg("hidden"), py::arg("bounds"), py::arg("reach"),
           py::arg("threads"))
      .def("refine", &refine, py::arg("query"), py::arg("correlation"), py::arg("stage"), py::arg("chosen"),
           py::arg("threads"));

  module.def("values_at_points", &values_at, py::arg("tiles"), py::arg("weights"), py::arg("offsets"),
             py::arg("points"), py::arg("gamma"), py::arg("threads"));
}

}  // namespace learndock::bindings
