// SPDX-License-Identifier: Apache-2.0
#define LEARNDOCK_KERNELS avx2_kernels
#define LEARNDOCK_KERNELS_NAME "avx2"
#define LEARNDOCK_VECTOR_BYTES 32
#include "kernels.inl"
