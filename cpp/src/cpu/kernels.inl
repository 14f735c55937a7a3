// SPDX-License-Identifier: Apache-2.0
//
// The kernels, compiled once per instruction set. This file and what it includes use no function of the standard
// library and nothing with external linkage but the table: an inline function compiled here with AVX-512 could be the
// copy that the linker keeps for the whole program.
#include "learndock/cpu_kernels.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace learndock {
namespace {

#include "vec.inl"

constexpr double log2_e = 1.4426950408889634074;

#include "blocks.inl"
#include "cholesky.inl"
#include "embed_double.inl"
#include "embed_float.inl"
#include "embed_integers.inl"
#include "herding.inl"
#include "moments.inl"
#include "weighted_sums.inl"

// NEON has no products of pairs of integers.
#if defined(__SSE2__)
constexpr auto integers = embed_integers;
#else
constexpr decltype(CpuKernels::embed_integers) integers = nullptr;
#endif

}  // namespace

const CpuKernels LEARNDOCK_KERNELS = {LEARNDOCK_KERNELS_NAME, embed_float,        integers,          embed_double,
                                      embed_double_of_float,  add_moments_double, add_moments_float, weighted_sums,
                                      subtract_products,      raise_bounds_float, raise_bounds_int16};

}  // namespace learndock
