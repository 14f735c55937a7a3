// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of AMX in plain C++, for tests on processors without it.
#define LEARNDOCK_KERNELS amx_twin_kernels
#define LEARNDOCK_KERNELS_NAME "amx_twin"
#define LEARNDOCK_VECTOR_BYTES 16
#define LEARNDOCK_SPLIT_PRODUCTS
#define LEARNDOCK_AMX_TWIN
#include "kernels.inl"
