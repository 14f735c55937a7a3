// SPDX-License-Identifier: Apache-2.0
#include "arrays.hpp"

namespace learndock::bindings {
void bind_system(py::module_& module);
void bind_embedding(py::module_& module);
void bind_kernel_sums(py::module_& module);
void bind_local_losses(py::module_& module);
void bind_simplex_qp(py::module_& module);
void bind_sketch(py::module_& module);
void bind_mixture(py::module_& module);
void bind_herding(py::module_& module);
void bind_reduced_set(py::module_& module);
void bind_residual_features(py::module_& module);
}  // namespace learndock::bindings

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  using namespace learndock::bindings;
  module.doc() = "Compiled core of learndock. Call learndock.kernels instead: it converts and validates.";
  py::register_exception_translator([](std::exception_ptr exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const learndock::Interrupted&) {
      // The signal's handler has set the Python error (KeyboardInterrupt) already.
    }
  });
  bind_system(module);
  bind_embedding(module);
  bind_kernel_sums(module);
  bind_local_losses(module);
  bind_simplex_qp(module);
  bind_sketch(module);
  bind_residual_features(module);
  bind_mixture(module);
  bind_herding(module);
  bind_reduced_set(module);
}
