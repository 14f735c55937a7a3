# Eigen's headers: the copy that travels in the sdist, else those of the pinned package of the build environment. The
# Python that CMake found is asked, not the one on PATH: under build isolation only that one has the package.
set(LEARNDOCK_EIGEN_VENDORED "${CMAKE_SOURCE_DIR}/cpp/third_party/eigen")
if(EXISTS "${LEARNDOCK_EIGEN_VENDORED}/Eigen/Core" AND NOT SKBUILD_STATE STREQUAL "sdist")
  set(LEARNDOCK_EIGEN_DIR "${LEARNDOCK_EIGEN_VENDORED}")
else()
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.metadata as m; print(m.distribution('cmeel-eigen').locate_file('cmeel.prefix/include/eigen3'))"
    OUTPUT_VARIABLE LEARNDOCK_EIGEN_DIR
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE LEARNDOCK_EIGEN_MISSING)
  if(LEARNDOCK_EIGEN_MISSING OR NOT EXISTS "${LEARNDOCK_EIGEN_DIR}/Eigen/Core")
    message(FATAL_ERROR "Eigen's headers are missing: install cmeel-eigen==3.4.1, or build from the sdist, which has them")
  endif()
endif()

# Making an sdist configures the project first (sdist.cmake): that is when the headers are put where it takes them from,
# with the text of their licence, which their package lacks.
if(SKBUILD_STATE STREQUAL "sdist")
  file(REMOVE_RECURSE "${LEARNDOCK_EIGEN_VENDORED}")
  file(COPY "${LEARNDOCK_EIGEN_DIR}/Eigen" DESTINATION "${LEARNDOCK_EIGEN_VENDORED}")
  file(COPY_FILE "${CMAKE_SOURCE_DIR}/cpp/EIGEN-LICENSE-MPL-2.0.txt" "${LEARNDOCK_EIGEN_VENDORED}/COPYING.MPL2")
endif()
