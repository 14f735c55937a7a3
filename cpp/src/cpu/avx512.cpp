// SPDX-License-Identifier: Apache-2.0
#define LEARNDOCK_KERNELS avx512_kernels
#define LEARNDOCK_KERNELS_NAME "avx512"
#define LEARNDOCK_VECTOR_BYTES 64
#include "kernels.inl"
