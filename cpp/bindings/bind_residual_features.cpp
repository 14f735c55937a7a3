// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>

#include "learndock/residual_features.hpp"
#include "sketch_set.hpp"

namespace learndock::bindings {

namespace {

using Shape = std::vector<py::ssize_t>;

constexpr Index measures_of_features = 3;

std::shared_ptr<ResidualFeatures> residual_features(std::shared_ptr<const SketchMap> map,
                                                    const py::array& frequencies_argument,
                                                    const py::array& gram_argument) {
  const auto frequencies = require<double>(frequencies_argument, "frequencies", 2);
  const auto gram = require<double>(gram_argument, "gram", 2);
  require_size(frequencies.shape(1), map->dim(), "frequencies: dim");
  require_size(gram.shape(0), map->coordinates(), "gram");
  require_size(gram.shape(1), map->coordinates(), "gram: last axis");
  if (frequencies.shape(0) < 1 || frequencies.shape(0) % tile_lanes != 0)
    throw py::value_error("frequencies: expected a multiple of 16 of them");
  // Plain memory from here on: other Python threads may run.
  const py::gil_scoped_release released;
  return std::make_shared<ResidualFeatures>(std::move(map), frequencies.data(), frequencies.shape(0), gram.data());
}

py::tuple encode(const ResidualFeatures& features, const py::array& tiles, const py::array& weights,
                 const py::array& offsets, const py::array& self_argument, int threads) {
  const PackedArrays<float> batch(tiles, weights, offsets);
  const auto view = batch.view();
  require_size(view.dim, features.map().dim(), "tiles: dim");
  const auto self = require<double>(self_argument, "self_inner", 1);
  require_size(self.shape(0), view.count, "self_inner");
  const Index padded = tile_count(view.count) * tile_lanes;
  SketchRoom room(features.map(), view.count);
  Array<std::int8_t> feature_codes(padded * 2 * features.frequency_count());
  Array<float> measures(Shape{measures_of_features, padded});
  const double* inner = self.data();
  std::int8_t* to_feature_codes = feature_codes.mutable_data();
  float* to_measures = measures.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    features.encode(view, inner, team, room.arrays, to_feature_codes, to_measures);
  }
  return room.tuple() + py::make_tuple(feature_codes, measures);
}

FeatureQuery query_of(const ResidualFeatures& features, const py::array& points, const py::array& weights,
                      const SketchQuery& sketch, double self_inner) {
  const EmbeddingArrays embedding(points, weights);
  require_size(embedding.view().dim, features.map().dim(), "points: dim");
  require_size(static_cast<Index>(sketch.exact.size()), features.map().coordinates(), "sketch: coordinates");
  const Embedding view = embedding.view();
  // As above: plain memory only.
  const py::gil_scoped_release released;
  return features.query(view, sketch, self_inner);
}

/// Sketches and features of a space's segments, and what keeps their memory alive.
class FeatureSet {
 public:
  FeatureSet(std::shared_ptr<const ResidualFeatures> features, std::shared_ptr<const SketchSet> sketches,
             const std::vector<py::tuple>& batches)
      : features_(std::move(features)), sketches_(std::move(sketches)) {
    require_size(static_cast<Index>(batches.size()), static_cast<Index>(sketches_->batches().size()), "batches");
    if (sketches_->map().stages() != features_->map().stages()) throw py::value_error("sketches: of other stages");
    for (std::size_t b = 0; b < batches.size(); ++b) {
      require_size(static_cast<Index>(batches[b].size()), 2, "batches: entries of each");
      const auto feature_codes = require<std::int8_t>(batches[b][0].cast<py::array>(), "feature codes", 1);
      const auto measures = require<float>(batches[b][1].cast<py::array>(), "measures", 2);
      const Index padded = sketches_->batches()[b].blocks() * tile_lanes;
      require_size(feature_codes.shape(0), padded * 2 * features_->frequency_count(), "feature codes");
      require_size(measures.shape(0), measures_of_features, "measures");
      require_size(measures.shape(1), padded, "measures: last axis");
      stored_.push_back({feature_codes.data(), measures.data()});
      held_.insert(held_.end(), {feature_codes, measures});
    }
  }

  Index total() const { return sketches_->total(); }

  Array<float> bounds(const SketchQuery& sketch, const FeatureQuery& query, double deviations,
                      const py::array& chosen_argument, int threads) const {
    const Array<Index> chosen = checked(sketch, query, chosen_argument);
    const Index count = chosen.shape(0);
    const Index* places = chosen.data();
    Array<float> found(count);
    float* to = found.mutable_data();
    {
      // As above: plain memory only.
      const py::gil_scoped_release released;
      ThreadTeam team(comparing(count, threads));
      chance_bounds({*features_, sketches_->batches(), stored_, sketch, query}, deviations, places, count, team, to);
    }
    return found;
  }

  Array<double> deviations(const SketchQuery& sketch, const FeatureQuery& query, const py::array& chosen_argument,
                           const py::array& mmd2_argument, int threads) const {
    const Array<Index> chosen = checked(sketch, query, chosen_argument);
    const auto mmd2 = require<double>(mmd2_argument, "mmd2", 1);
    const Index count = chosen.shape(0);
    require_size(mmd2.shape(0), count, "mmd2");
    const Index* places = chosen.data();
    const double* values = mmd2.data();
    Array<double> found(count);
    double* to = found.mutable_data();
    {
      // As above: plain memory only.
      const py::gil_scoped_release released;
      ThreadTeam team(comparing(count, threads));
      deviations_of({*features_, sketches_->batches(), stored_, sketch, query}, places, values, count, team, to);
    }
    return found;
  }

 private:
  Array<Index> checked(const SketchQuery& sketch, const FeatureQuery& query, const py::array& chosen_argument) const {
    Array<Index> chosen = sketches_->require_places(chosen_argument);
    require_size(static_cast<Index>(sketch.coordinates.size()), features_->map().coordinates(), "sketch: coordinates");
    require_size(static_cast<Index>(query.waves.size()), 2 * features_->frequency_count(), "query: waves");
    return chosen;
  }

  Execution comparing(Index count, int threads) const {
    constexpr double frequency_time = 0.2;
    return execution(threads).for_work(static_cast<double>(count * features_->frequency_count()) * frequency_time);
  }

  std::shared_ptr<const ResidualFeatures> features_;
  std::shared_ptr<const SketchSet> sketches_;
  std::vector<StoredFeatures> stored_;
  std::vector<py::array> held_;
};

}  // namespace

void bind_residual_features(py::module_& module) {
  py::class_<FeatureQuery>(module, "FeatureQuery")
      .def_property_readonly("waves",
                             [](const FeatureQuery& query) {
                               return Array<float>(static_cast<py::ssize_t>(query.waves.size()), query.waves.data());
                             })
      .def_readonly("square", &FeatureQuery::square);

  py::class_<ResidualFeatures, std::shared_ptr<ResidualFeatures>>(module, "ResidualFeatures")
      .def(py::init([](std::shared_ptr<SketchMap> map, const py::array& frequencies, const py::array& gram) {
             return residual_features(std::move(map), frequencies, gram);
           }),
           py::arg("map"), py::arg("frequencies"), py::arg("gram"))
      .def("encode", &encode, py::arg("tiles"), py::arg("weights"), py::arg("offsets"), py::arg("self_inner"),
           py::arg("threads"))
      .def("query", &query_of, py::arg("points"), py::arg("weights"), py::arg("sketch"), py::arg("self_inner"));

  py::class_<FeatureSet>(module, "FeatureSet")
      .def(py::init([](std::shared_ptr<ResidualFeatures> features, std::shared_ptr<SketchSet> sketches,
                       const std::vector<py::tuple>& batches) {
             return FeatureSet(std::move(features), std::move(sketches), batches);
           }),
           py::arg("features"), py::arg("sketches"), py::arg("batches"))
      .def_property_readonly("total", &FeatureSet::total)
      .def("bounds", &FeatureSet::bounds, py::arg("sketch"), py::arg("query"), py::arg("deviations"), py::arg("chosen"),
           py::arg("threads"))
      .def("deviations", &FeatureSet::deviations, py::arg("sketch"), py::arg("query"), py::arg("chosen"),
           py::arg("mmd2"), py::arg("threads"));
}

}  // namespace learndock::bindings
