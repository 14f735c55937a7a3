#!/usr/bin/env bash
# clang-format over all C++ of the project; arguments are passed on (--dry-run -Werror to check, -i to write).
set -euo pipefail
cd "$(dirname "$0")/.."
find cpp/include cpp/src cpp/bindings cpp/fuzz benchmarks -name '*.hpp' -o -name '*.cpp' -o -name '*.inl' | xargs clang-format "$@"
