// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "arrays.hpp"
#include "learndock/near_order.hpp"

namespace learndock::bindings {

namespace {

template <class T>
Array<T> pack(const py::array& points_argument) {
  const auto points = require<T>(points_argument, "points", 2);
  const Index count = points.shape(0), dim = points.shape(1);
  Array<T> tiles(std::vector<py::ssize_t>{tile_count(count), dim, tile_lanes});
  const T* from = points.data();
  T* to = tiles.mutable_data();
  {
    // Plain memory from here on: other Python threads may run.
    const py::gil_scoped_release released;
    pack_points(from, count, dim, to);
  }
  return tiles;
}

template <class T>
Array<double> unpack(const py::array& tiles_argument, Index begin, Index end) {
  const auto tiles = require<T>(tiles_argument, "tiles", 3);
  require_size(tiles.shape(2), tile_lanes, "tiles: last axis");
  if (begin < 0 || end < begin || tile_count(end) > tiles.shape(0))
    throw py::value_error("begin, end: outside the tiles");
  const Index dim = tiles.shape(1);
  Array<double> points(std::vector<py::ssize_t>{end - begin, dim});
  unpack_points(tiles.data(), dim, begin, end, points.mutable_data());
  return points;
}

Array<std::int32_t> near_order_of(const py::array& codes_argument, const py::array& scales_argument) {
  const auto codes = require<std::int8_t>(codes_argument, "codes", 2);
  const auto scales = require<float>(scales_argument, "scales", 1);
  require_size(scales.shape(0), codes.shape(1), "scales");
  if (codes.shape(0) > std::numeric_limits<std::int32_t>::max()) throw py::value_error("codes: too many rows");
  Array<std::int32_t> order(codes.shape(0));
  const CodeRows rows{codes.data(), codes.shape(0), codes.shape(1), codes.shape(1), scales.data()};
  std::int32_t* to = order.mutable_data();
  {
    // As above: plain memory only.
    const py::gil_scoped_release released;
    near_order(rows, to);
  }
  return order;
}

}  // namespace

void bind_embedding(py::module_& module) {
  module.def("near_order", &near_order_of, py::arg("codes"), py::arg("scales"));
  module.def(
      "pack_points",
      [](const py::array& points) -> py::array {
        if (points.dtype().equal(py::dtype::of<float>())) return pack<float>(points);
        return pack<double>(points);
      },
      py::arg("points"));
  module.def(
      "unpack_points",
      [](const py::array& tiles, Index begin, Index end) {
        if (tiles.dtype().equal(py::dtype::of<float>())) return unpack<float>(tiles, begin, end);
        return unpack<double>(tiles, begin, end);
      },
      py::arg("tiles"), py::arg("begin"), py::arg("end"));
}

}  // namespace learndock::bindings
