// SPDX-License-Identifier: Apache-2.0
//
// Losses near rows: the kernel values of a tile of rows and all points of a sketch serve the embedding, the masses and,
// for a few models at a time that stay in registers, the losses.

template <int together>
inline void smooth_points(const SketchRows& sketch, Index first, const float* tile, float* kernel,
                          Vec<float> (&embedding)[parts_of<float>], Vec<float> (&mass)[parts_of<float>]) {
  constexpr int parts = parts_of<float>;
  Vec<float> distances[together][parts] = {};
  for (Index k = 0; k < sketch.dim; ++k) {
    Vec<float> y[parts];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) y[part] = load(tile + k * tile_lanes + part * lanes_of<float>);
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        const Vec<float> difference = y[part] - sketch.points[(first + r) * sketch.dim + k];
        distances[r][part] += difference * difference;
      }
  }
#pragma GCC unroll 8
  for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
      const Vec<float> value = exp2(distances[r][part] * -sketch.exponent_scale);
      embedding[part] += value * sketch.weights[first + r];
      const Vec<float> square = value * value;
      const Vec<float> near = square * square * sketch.shares[first + r];
      mass[part] += near;
      store(kernel + (first + r) * tile_lanes + part * lanes_of<float>, near);
    }
}

template <int models>
inline void add_losses(const SketchRows& sketch, Index first, const float* kernel, float* losses) {
  constexpr int parts = parts_of<float>;
  Vec<float> sums[models][parts] = {};
  for (Index p = 0; p < sketch.count; ++p) {
    const float* lost = sketch.losses + p * sketch.models + first;
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
      const Vec<float> near = load(kernel + p * tile_lanes + part * lanes_of<float>);
#pragma GCC unroll 8
      for (int m = 0; m < models; ++m) sums[m][part] += near * lost[m];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < models; ++m)
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
      float* to = losses + (first + m) * tile_lanes + part * lanes_of<float>;
      store(to, load(to) + sums[m][part]);
    }
}

void local_losses(const SketchRows& sketch, const float* tile, float* kernel, float* losses, float* mass,
                  float* embedding) {
  constexpr int parts = parts_of<float>;
  constexpr int models = rows_together<float>;
  Vec<float> embeddings[parts] = {}, masses[parts] = {};
  Index p = 0;
  for (; p + models <= sketch.count; p += models) smooth_points<models>(sketch, p, tile, kernel, embeddings, masses);
  for (; p < sketch.count; ++p) smooth_points<1>(sketch, p, tile, kernel, embeddings, masses);
  Index m = 0;
  for (; m + models <= sketch.models; m += models) add_losses<models>(sketch, m, kernel, losses);
  for (; m < sketch.models; ++m) add_losses<1>(sketch, m, kernel, losses);
#pragma GCC unroll 8
  for (int part = 0; part < parts; ++part) {
    store(mass + part * lanes_of<float>, masses[part]);
    store(embedding + part * lanes_of<float>, embeddings[part]);
  }
}
