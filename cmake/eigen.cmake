# Eigen's headers: the copy that travels in the sdist (scripts/vendor_eigen.py puts it there), else the pinned
# package of the build environment. The Python that CMake found is asked, not the one on PATH: under build isolation
# only that one has the package.
set(LEARNDOCK_EIGEN_DIR "${CMAKE_SOURCE_DIR}/cpp/third_party/eigen")
if(NOT EXISTS "${LEARNDOCK_EIGEN_DIR}/Eigen/Core")
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.metadata as m; print(m.distribution('cmeel-eigen').locate_file('cmeel.prefix/include/eigen3'))"
    OUTPUT_VARIABLE LEARNDOCK_EIGEN_DIR
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE LEARNDOCK_EIGEN_MISSING)
  if(LEARNDOCK_EIGEN_MISSING OR NOT EXISTS "${LEARNDOCK_EIGEN_DIR}/Eigen/Core")
    message(FATAL_ERROR "Eigen's headers are missing: install cmeel-eigen==3.4.1 or run scripts/vendor_eigen.py")
  endif()
endif()
