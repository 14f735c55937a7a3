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
#include "herding.inl"
#include "local_losses.inl"
#include "moments.inl"
#include "residual_features.inl"
#include "sketch.inl"
#include "weighted_sums.inl"

#if defined(LEARNDOCK_SPLIT_PRODUCTS)
#include "embed_split.inl"
constexpr bool splits_rows = true;
constexpr auto embed = embed_split;
// Products of matrices cost less than those of integers would.
constexpr decltype(CpuKernels::embed_integers) integers = nullptr;
#else
#include "embed_float.inl"
constexpr bool splits_rows = false;
constexpr auto embed = embed_float;
#if defined(__SSE2__)
#include "embed_integers.inl"
constexpr auto integers = embed_integers;
#else
constexpr decltype(CpuKernels::embed_integers) integers = nullptr;  // NEON has no products of pairs
#endif
#endif

}  // namespace

const CpuKernels LEARNDOCK_KERNELS = {LEARNDOCK_KERNELS_NAME,
                                      splits_rows,
                                      embed,
                                      integers,
                                      embed_double,
                                      embed_double_of_float,
                                      add_moments_double,
                                      add_moments_float,
                                      weighted_sums,
                                      subtract_products,
                                      raise_bounds_float,
                                      raise_bounds_int16,
                                      sketch_distances,
                                      sketch_row_distance,
                                      sketch_bounds,
                                      short_bounds,
                                      sketch_guesses,
                                      halves_at_most,
                                      wave_sums,
                                      feature_products,
                                      local_losses};

}  // namespace learndock
