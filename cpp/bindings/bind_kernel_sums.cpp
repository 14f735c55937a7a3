// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "embedding_set.hpp"
#include "learndock/coarse_sums.hpp"
#include "learndock/kernel_sums.hpp"

namespace learndock::bindings {

namespace {

void require_dim(Index got, Index expected) { require_size(got, expected, "queries: dim"); }

bool holds_float(const py::array& tiles) { return tiles.dtype().equal(py::dtype::of<float>()); }

/// For queries that know a bound on their error: PreparedQuery and CoarseQuery.
template <class Query>
py::tuple bounded_products(const std::vector<const Query*>& queries, const py::array& tiles, const py::array& weights,
                           const py::array& offsets, int threads) {
  const PackedArrays<float> batch(tiles, weights, offsets);
  const auto view = batch.view();
  for (const Query* query : queries) require_dim(query->dim(), view.dim);
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(queries.size()), view.count};
  Array<double> products(shape), errors(shape);
  double* to_products = products.mutable_data();
  double* to_errors = errors.mutable_data();
  {
    // The arrays and the queries are held by the caller; nothing below touches a Python object.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    inner_products(queries, view, team, to_products, to_errors);
  }
  return py::make_tuple(products, errors);
}

Index points_of(const PackedEmbeddings<float>& batch, Index i) { return batch.offsets[i + 1] - batch.offsets[i]; }

/// Points of the chosen embeddings, each as often as it is chosen.
double points_of(const EmbeddingSet& set, const std::vector<EmbeddingPlace>& chosen) {
  double points = 0;
  for (const EmbeddingPlace& place : chosen)
    points += static_cast<double>(points_of(set.batches()[place.batch], place.index));
  return points;
}

std::vector<EmbeddingArrays> embeddings_of(const std::vector<py::array>& points,
                                           const std::vector<py::array>& weights) {
  require_size(static_cast<Index>(weights.size()), static_cast<Index>(points.size()), "query weights");
  std::vector<EmbeddingArrays> embeddings;
  for (std::size_t i = 0; i < points.size(); ++i) embeddings.emplace_back(points[i], weights[i]);
  return embeddings;
}

std::vector<Embedding> views_of(const std::vector<EmbeddingArrays>& queries, Index dim) {
  std::vector<Embedding> views;
  for (const EmbeddingArrays& query : queries) {
    views.push_back(query.view());
    require_dim(views.back().dim, dim);
  }
  return views;
}

template <class Query>
py::tuple chosen_bounded_products(const Query& query, const EmbeddingSet& set, const py::array& chosen_argument,
                                  int threads) {
  require_dim(query.dim(), set.dim());
  const auto indices = require<Index>(chosen_argument, "chosen", 1);
  const Index count = indices.shape(0);
  const std::vector<EmbeddingPlace> chosen = set.require_places(indices.data(), count, "chosen");
  Array<double> products(count), errors(count);
  double* to_products = products.mutable_data();
  double* to_errors = errors.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    const double pairs = points_of(set, chosen) * static_cast<double>(query.row_count());
    ThreadTeam team(execution(threads).for_work(float_pairs_time(pairs, set.dim())));
    chosen_inner_products(query, set.batches(), chosen, team, to_products, to_errors);
  }
  return py::make_tuple(products, errors);
}

template <class T>
Array<double> inner_products_double(const std::vector<EmbeddingArrays>& queries, const PackedArrays<T>& batch,
                                    double gamma, int threads) {
  const auto view = batch.view();
  const std::vector<Embedding> embeddings = views_of(queries, view.dim);
  Array<double> products(std::vector<py::ssize_t>{static_cast<py::ssize_t>(queries.size()), view.count});
  double* to = products.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    inner_products(embeddings, view, gamma, team, to);
  }
  return products;
}

Array<double> chosen_products(const std::vector<py::array>& points, const std::vector<py::array>& weights,
                              const EmbeddingSet& set, const py::array& asking_argument,
                              const py::array& chosen_argument, double gamma, int threads) {
  const std::vector<EmbeddingArrays> queries = embeddings_of(points, weights);
  const std::vector<Embedding> embeddings = views_of(queries, set.dim());
  const auto indices = require<Index>(chosen_argument, "chosen", 1);
  const auto asking = require<Index>(asking_argument, "asking", 1);
  const Index count = indices.shape(0);
  require_size(asking.shape(0), count, "asking");
  const std::vector<EmbeddingPlace> chosen = set.require_places(indices.data(), count, "chosen");
  const Index* of_queries = asking.data();
  for (Index i = 0; i < count; ++i)
    if (of_queries[i] < 0 || of_queries[i] >= static_cast<Index>(embeddings.size()))
      throw py::value_error("asking: outside the queries");
  Array<double> products(count);
  double* to = products.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    double pairs = 0;
    for (Index i = 0; i < count; ++i)
      pairs += static_cast<double>(points_of(set.batches()[chosen[i].batch], chosen[i].index) *
                                   embeddings[of_queries[i]].count);
    ThreadTeam team(execution(threads).for_work(double_pairs_time(pairs, set.dim())));
    chosen_inner_products(embeddings, set.batches(), of_queries, chosen, gamma, team, to);
  }
  return products;
}

template <class T>
Array<double> self_products(const PackedArrays<T>& batch, double gamma, int threads) {
  const auto view = batch.view();
  Array<double> products(view.count);
  double* to = products.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    ThreadTeam team(execution(threads));
    self_inner_products(view, gamma, team, to);
  }
  return products;
}

}  // namespace

void bind_kernel_sums(py::module_& module) {
  py::class_<EmbeddingSet>(module, "EmbeddingSet").def(py::init<const std::vector<py::tuple>&>(), py::arg("batches"));

  py::class_<PreparedQuery>(module, "PreparedQuery")
      .def(py::init([](const py::array& points, const py::array& weights, double gamma) {
             return PreparedQuery(EmbeddingArrays(points, weights).view(), gamma);
           }),
           py::arg("points"), py::arg("weights"), py::arg("gamma"))
      .def_property_readonly("group_count", &PreparedQuery::group_count);

  py::class_<CoarseQuery>(module, "CoarseQuery")
      .def(py::init([](const py::array& points, const py::array& weights, double gamma) {
             return CoarseQuery(EmbeddingArrays(points, weights).view(), gamma);
           }),
           py::arg("points"), py::arg("weights"), py::arg("gamma"))
      .def_property_readonly("possible", &CoarseQuery::possible)
      .def_property_readonly("pays", &CoarseQuery::pays);

  module.def("inner_products_float", &bounded_products<PreparedQuery>, py::arg("queries"), py::arg("tiles"),
             py::arg("weights"), py::arg("offsets"), py::arg("threads"));
  module.def("inner_products_coarse", &bounded_products<CoarseQuery>, py::arg("queries"), py::arg("tiles"),
             py::arg("weights"), py::arg("offsets"), py::arg("threads"));
  module.def("chosen_inner_products_float", &chosen_bounded_products<PreparedQuery>, py::arg("query"),
             py::arg("embeddings"), py::arg("chosen"), py::arg("threads"));
  module.def("chosen_inner_products_coarse", &chosen_bounded_products<CoarseQuery>, py::arg("query"),
             py::arg("embeddings"), py::arg("chosen"), py::arg("threads"));
  module.def(
      "inner_products",
      [](const std::vector<py::array>& points, const std::vector<py::array>& point_weights, const py::array& tiles,
         const py::array& weights, const py::array& offsets, double gamma, int threads) {
        const std::vector<EmbeddingArrays> queries = embeddings_of(points, point_weights);
        if (holds_float(tiles))
          return inner_products_double(queries, PackedArrays<float>(tiles, weights, offsets), gamma, threads);
        return inner_products_double(queries, PackedArrays<double>(tiles, weights, offsets), gamma, threads);
      },
      py::arg("query_points"), py::arg("query_weights"), py::arg("tiles"), py::arg("weights"), py::arg("offsets"),
      py::arg("gamma"), py::arg("threads"));
  module.def("chosen_inner_products", &chosen_products, py::arg("query_points"), py::arg("query_weights"),
             py::arg("embeddings"), py::arg("asking"), py::arg("chosen"), py::arg("gamma"), py::arg("threads"));
  module.def(
      "self_inner_products",
      [](const py::array& tiles, const py::array& weights, const py::array& offsets, double gamma, int threads) {
        if (holds_float(tiles)) return self_products(PackedArrays<float>(tiles, weights, offsets), gamma, threads);
        return self_products(PackedArrays<double>(tiles, weights, offsets), gamma, threads);
      },
      py::arg("tiles"), py::arg("weights"), py::arg("offsets"), py::arg("gamma"), py::arg("threads"));
  module.def(
      "embed_points",
      [](const py::array& points, const py::array& weights, const py::array& at, double gamma, int threads) {
        const EmbeddingArrays embedding(points, weights);
        const auto rows = require<double>(at, "at", 2);
        require_size(rows.shape(1), embedding.points.shape(1), "at: dim");
        Array<double> values(rows.shape(0));
        const Embedding view = embedding.view();
        const double* from = rows.data();
        const Index count = rows.shape(0);
        double* to = values.mutable_data();
        {
          // As above: plain memory only.
          const py::gil_scoped_release released;
          ThreadTeam team(execution(threads));
          embed_points(view, from, count, gamma, team, to);
        }
        return values;
      },
      py::arg("points"), py::arg("weights"), py::arg("at"), py::arg("gamma"), py::arg("threads"));
}

}  // namespace learndock::bindings
