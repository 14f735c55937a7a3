#!/usr/bin/env bash
# Cross-compiles the core for 64-bit ARM and runs the tests of its kernels under qemu's user emulation, with that
# machine's Python from Debian and NumPy's own ARM wheels. Arguments go to pytest; without any, all of TESTS run.
# Needs Debian's g++-aarch64-linux-gnu, qemu-user-static, mmdebstrap and file, and a Python of the version that is
# Debian's own (3.11 on Debian 12); writes to build/aarch64.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/aarch64
root=$work/root
site=$work/site
# Fits, herds and programmes are in the ladders of instruction_sets; their own tests take half an hour here.
TESTS="kernel_sums simplex_qp mixture local_losses top_k golden_search spec_files instruction_sets"

mkdir -p "$work"
if [ ! -e "$root/usr/bin/python3" ]; then
  # Unpacked, not installed: no program of it runs but Python. Of this machine's release, as its cross compiler is, so
  # that both have one C library.
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mmdebstrap --quiet --variant=extract --arch=arm64 --skip=check/qemu --include=python3,libpython3-dev,libstdc++6 \
    "$suite" "$root"
fi
version=$(basename "$(readlink -f "$root/usr/bin/python3")")  # such as python3.11
tag=${version//[!0-9]/}
if ! "$version" -c '' 2>/dev/null; then
  echo "the target's Python is $version, and the build needs this machine's of that version: there is none" >&2
  exit 1
fi

# Without the kernel's help (binfmt_misc) an ARM program can't be started by name, which the tests do with
# sys.executable. This script has that name: pyvenv.cfg tells Python what it belongs to.
mkdir -p "$work/venv/bin" "$work/venv/lib/$version"
printf 'home = %s\n' "$root/usr/bin" >"$work/venv/pyvenv.cfg"
cat >"$work/venv/bin/python" <<SH
#!/bin/sh
exec qemu-aarch64-static -L "$root" -0 "\$0" "$root/usr/bin/$version" "\$@"
SH
chmod +x "$work/venv/bin/python"
python=$work/venv/bin/python
ln -sfn "$site" "$work/venv/lib/$version/site-packages"

# This machine's Python runs the build and finds Eigen and pybind11; headers and names of modules are the target's.
suffix=.cpython-$tag-aarch64-linux-gnu.so
rm -rf "$work/wheel" "$site"
"$version" -m venv "$work/host"
host=$work/host/bin/python
"$host" -m pip install -q --upgrade pip
CXXFLAGS="-idirafter $root/usr/include" _PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=$suffix \
  "$host" -m pip wheel -q --no-deps --wheel-dir "$work/wheel" . \
  -C cmake.define.CMAKE_TOOLCHAIN_FILE="$PWD/cmake/aarch64-linux-gnu.cmake" \
  -C cmake.define.Python_INCLUDE_DIR="$root/usr/include/$version" \
  -C cmake.define.PYTHON_MODULE_EXTENSION="$suffix" \
  -C cmake.define.LEARNDOCK_WERROR=ON
platforms=()
for platform in linux manylinux2014 manylinux_2_17 manylinux_2_24 manylinux_2_26 manylinux_2_27 manylinux_2_28; do
  platforms+=(--platform "${platform}_aarch64")
done
"$host" -m pip install -q --target "$site" --only-binary=:all: --implementation cp --python-version "$tag" \
  --abi "cp$tag" --abi abi3 --abi none "${platforms[@]}" "$work"/wheel/*.whl pytest hypothesis

file "$site"/learndock/_core*.so
"$python" -c 'import learndock; learndock.show_config()'
arguments=("$@")
if [ $# = 0 ]; then
  for name in $TESTS; do arguments+=("tests/test_$name.py"); done
  # A limit on address space is one on the emulator's; fits to 10,000 rows take minutes here.
  arguments+=(-k "not too_large_for_memory and not reference_packages_mmd2")
fi
"$python" -m pytest -p no:cacheprovider "${arguments[@]}"
