// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "learndock/instruction_set.hpp"

namespace learndock::bindings {

namespace {

#if defined(__clang__)
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "gcc " __VERSION__;
#endif

}  // namespace

void bind_system(py::module_& module) {
  module.attr("version") = LEARNDOCK_VERSION;
  module.attr("compiler") = compiler;
  module.attr("tile_lanes") = tile_lanes;
  module.def("built_instruction_sets", &built_instruction_sets);
  module.def("available_instruction_sets", &available_instruction_sets);
  module.def("active_instruction_set", [] { return active_kernels().name; });
  module.def("default_threads", &default_threads);
}

}  // namespace learndock::bindings
