#!/usr/bin/env bash
# Fuzzes every parser of files (tests/fuzz, by atheris) and every entry point of the core that their numbers reach
# (cpp/fuzz, by libFuzzer under address and undefined behaviour sanitizers): `scripts/fuzz.sh [SECONDS of each]`, several
# at once. Prints how often each ran; the end of the log of what was found, and fails, where something was. Needs the
# dependency group `fuzz`, learndock itself, and clang; writes to build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
export SECONDS_EACH=${1:-60} WORK=$PWD/build/fuzz UBSAN_OPTIONS=print_stacktrace=1
mkdir -p "$WORK/logs"
rm -f "$WORK"/logs/*

CC=clang CXX=clang++ cmake -S . -B "$WORK" -G Ninja -DLEARNDOCK_FUZZ=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DSKBUILD_PROJECT_VERSION=0 -DPython_EXECUTABLE="$(command -v python)" >"$WORK/cmake.log"
ninja -C "$WORK" --quiet fuzzers

fuzz() {
  local target=$1 log=$WORK/logs/${1//\//-}.log run
  if [ "${target%%/*}" = core ]; then
    local name=${target#*/}
    mkdir -p "$WORK/corpus/$name" "cpp/fuzz/cases/$name"
    run=("$WORK/cpp/fuzz/fuzz_$name" -seed=1 -max_total_time="$SECONDS_EACH" -max_len=2048 -timeout=20 -print_final_stats=1
      -artifact_prefix="cpp/fuzz/cases/$name/" "$WORK/corpus/$name" "cpp/fuzz/cases/$name")
  else
    run=(python tests/fuzz/run.py "$target" --seconds "$SECONDS_EACH")
  fi
  if ! "${run[@]}" >"$log" 2>&1; then
    grep -v NEW "$log" | tail -40
    echo "$target: FOUND SOMETHING: the case is among its cases, and is what it begins with from now on"
    return 1
  fi
  printf '%-28s %9d runs\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
}
export -f fuzz

{
  python tests/fuzz/run.py --list
  for file in cpp/fuzz/*.cpp; do echo "core/$(basename "$file" .cpp)"; done
} | xargs -P "$(($(nproc) > 6 ? $(nproc) : 6))" -I{} bash -c 'fuzz {}'
