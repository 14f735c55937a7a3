// SPDX-License-Identifier: Apache-2.0
//
// Which variant of the kernels runs. The processor *and* the operating system are asked (xgetbv: the OS must save the
// wide registers). LEARNDOCK_SIMD=baseline|avx2|avx512|avx512vnni|amx forces one, and amx_twin the
// arithmetic of AMX in plain C++, for tests; forcing one that isn't there is an error.
#pragma once

#include <string>
#include <vector>

#include "learndock/cpu_kernels.hpp"

namespace learndock {

/// Variants that this build holds, oldest first.
std::vector<std::string> built_instruction_sets();

/// Those of them that this machine can run.
std::vector<std::string> available_instruction_sets();

/// The newest available, or the one that LEARNDOCK_SIMD names. Chosen at the first call, once.
/// Throws std::runtime_error where LEARNDOCK_SIMD names one that isn't available.
const CpuKernels& active_kernels();

}  // namespace learndock
