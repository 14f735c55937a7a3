// SPDX-License-Identifier: Apache-2.0
#define LEARNDOCK_KERNELS amx_kernels
#define LEARNDOCK_KERNELS_NAME "amx"
#define LEARNDOCK_VECTOR_BYTES 64
#define LEARNDOCK_SPLIT_PRODUCTS
#include "kernels.inl"
