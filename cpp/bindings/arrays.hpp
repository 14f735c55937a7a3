// SPDX-License-Identifier: Apache-2.0
//
// What every binding does first: check an array's dtype, dimensions and contiguity with an error that names it. The
// Python layer converts; nothing is converted here, so nothing is narrowed here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "learndock/parallel.hpp"

namespace py = pybind11;

namespace learndock::bindings {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

inline std::string name_of(const py::dtype& type) { return py::str(static_cast<const py::object&>(type)); }

/// `array` as a C-contiguous array of T with `dimensions` axes; raises ValueError naming the argument.
template <class T>
Array<T> require(const py::array& array, const char* name, int dimensions) {
  const auto expected = py::dtype::of<T>();
  if (!array.dtype().is(expected) && !array.dtype().equal(expected))
    throw py::value_error(std::string(name) + ": got dtype " + name_of(array.dtype()) + ", expected " +
                          name_of(expected));
  if (array.ndim() != dimensions)
    throw py::value_error(std::string(name) + ": got " + std::to_string(array.ndim()) + " dimensions, expected " +
                          std::to_string(dimensions));
  if (!(array.flags() & py::array::c_style))
    throw py::value_error(std::string(name) + ": expected a C-contiguous array");
  return py::reinterpret_borrow<Array<T>>(array);
}

inline void require_size(Index got, Index expected, const char* name) {
  if (got != expected)
    throw py::value_error(std::string(name) + ": got size " + std::to_string(got) + ", expected " +
                          std::to_string(expected));
}

/// Threads of a call, and Ctrl-C: the calling thread asks Python a few times a second whether a signal came.
inline Execution execution(int threads) {
  return {threads, [] {
            const py::gil_scoped_acquire held;
            return PyErr_CheckSignals() != 0;
          }};
}

}  // namespace learndock::bindings
