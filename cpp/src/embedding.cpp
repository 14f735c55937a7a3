// SPDX-License-Identifier: Apache-2.0
#include "learndock/embedding.hpp"

#include <algorithm>

namespace learndock {

template <class From, class Scalar>
void pack_points(const From* points, Index point_count, Index dim, Scalar* tiles) {
  for (Index tile = 0; tile < tile_count(point_count); ++tile) {
    Scalar* out = tiles + tile * dim * tile_lanes;
    for (Index lane = 0; lane < tile_lanes; ++lane) {
      const Index point = std::min(tile * tile_lanes + lane, point_count - 1);
      const From* row = points + point * dim;
      for (Index k = 0; k < dim; ++k) out[k * tile_lanes + lane] = static_cast<Scalar>(row[k]);
    }
  }
}

template <class Scalar>
void unpack_points(const Scalar* tiles, Index dim, Index begin, Index end, double* points) {
  for (Index point = begin; point < end; ++point) {
    const Scalar* lane = tiles + (point / tile_lanes) * dim * tile_lanes + point % tile_lanes;
    for (Index k = 0; k < dim; ++k) *points++ = static_cast<double>(lane[k * tile_lanes]);
  }
}

template void pack_points(const float*, Index, Index, float*);
template void pack_points(const double*, Index, Index, double*);
template void pack_points(const double*, Index, Index, float*);
template void unpack_points(const float*, Index, Index, Index, double*);
template void unpack_points(const double*, Index, Index, Index, double*);

}  // namespace learndock
