// SPDX-License-Identifier: Apache-2.0
// The ABI's own vectors: SSE2 on x86-64, NEON on aarch64.
#define LEARNDOCK_KERNELS baseline_kernels
#define LEARNDOCK_KERNELS_NAME "baseline"
#define LEARNDOCK_VECTOR_BYTES 16
#include "kernels.inl"
