// SPDX-License-Identifier: Apache-2.0
//
// The kernels, compiled once per instruction set. This file and what it includes use no function of the standard
// library and nothing with external linkage but the table: an inline function compiled here with AVX-512 could be the
// copy that the linker keeps for the whole program.
#include "learndock/cpu_kernels.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace learndock {
namespace {

#include "vec.inl"

constexpr double log2_e = 1.4426950408889634074;

#include "embed_double.inl"
#include "embed_float.inl"
#include "moments.inl"

}  // namespace

const CpuKernels LEARNDOCK_KERNELS = {LEARNDOCK_KERNELS_NAME, embed_float, embed_double, embed_double_of_float,
                                      add_moments};

}  // namespace learndock
