// SPDX-License-Identifier: Apache-2.0
#include "learndock/instruction_set.hpp"

#include <cstdlib>
#include <stdexcept>

#ifdef LEARNDOCK_X86_64
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace learndock {

namespace {

#ifdef LEARNDOCK_X86_64
// XCR0 says which registers the operating system saves: bits 1-2 SSE and AVX, bits 5-7 the AVX-512 state.
unsigned long long saved_registers() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned osxsave = 1u << 27;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & osxsave)) return 0;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<unsigned long long>(high) << 32) | low;
}

bool has_avx2() {
  return (saved_registers() & 0x6) == 0x6 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
  return has_avx2() && (saved_registers() & 0xe6) == 0xe6 && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

bool has_avx512vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

/// Whether the process may use AMX's registers. Linux gives them on demand only: they are 8 KB a thread.
bool may_use_matrix_registers() {
#if defined(__linux__)
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long matrix_data = 18;             // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, matrix_data) == 0;
#else
  return false;
#endif
}

bool has_amx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  constexpr unsigned long long saved = 3ull << 17;  // XCR0: the registers' shapes and their data
  if (!has_avx512vnni() || (saved_registers() & saved) != saved) return false;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  return (edx & amx_bf16) && (edx & amx_tile) && may_use_matrix_registers();
}
#endif

bool always() { return true; }

struct Variant {
  const char* name;
  bool (*available)();
  const CpuKernels* kernels;
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all = {
      {"amx_twin", always, &amx_twin_kernels},  // for tests: first, and so never the newest
      {"baseline", always, &baseline_kernels},
#ifdef LEARNDOCK_X86_64
      {"avx2", has_avx2, &avx2_kernels},
      {"avx512", has_avx512, &avx512_kernels},
      {"avx512vnni", has_avx512vnni, &avx512vnni_kernels},
      {"amx", has_amx, &amx_kernels},
#endif
  };
  return all;
}

const CpuKernels* choose() {
  const char* forced = std::getenv("LEARNDOCK_SIMD");
  const CpuKernels* newest = nullptr;
  std::string names;
  for (const Variant& variant : variants()) {
    if (!variant.available()) continue;
    if (forced && variant.name == std::string(forced)) return variant.kernels;
    newest = variant.kernels;
    names += std::string(names.empty() ? "" : ", ") + variant.name;
  }
  if (forced && *forced)
    throw std::runtime_error("LEARNDOCK_SIMD: got \"" + std::string(forced) + "\", this machine has " + names);
  return newest;
}

}  // namespace

std::vector<std::string> built_instruction_sets() {
  std::vector<std::string> names;
  for (const Variant& variant : variants()) names.emplace_back(variant.name);
  return names;
}

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const Variant& variant : variants())
    if (variant.available()) names.emplace_back(variant.name);
  return names;
}

const CpuKernels& active_kernels() {
  static const CpuKernels* const chosen = choose();
  return *chosen;
}

}  // namespace learndock
