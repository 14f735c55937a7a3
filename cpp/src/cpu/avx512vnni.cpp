// SPDX-License-Identifier: Apache-2.0
#define LEARNDOCK_KERNELS avx512vnni_kernels
#define LEARNDOCK_KERNELS_NAME "avx512vnni"
#define LEARNDOCK_VECTOR_BYTES 64
#include "kernels.inl"
