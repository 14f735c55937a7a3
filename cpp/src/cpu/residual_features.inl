// SPDX-License-Identifier: Apache-2.0
//
// Random features: sums of waves, and products of those stored with those that ask.

/// cos and sin of x quarter turns, |x| < 2^50. Taylor series on an eighth of a turn to both sides: absolute error
/// 2e-14.
inline void cosine_and_sine(Vec<double> x, Vec<double>& cosine, Vec<double>& sine) {
  typedef VecOf<double>::bits Bits;
  const double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it leaves the integer in the low bits
  const Vec<double> shifted = x + shift;
  const Vec<double> angle = (x - (shifted - shift)) * 1.5707963267948966192;
  const Vec<double> square = angle * angle;
  Vec<double> s = 1.6059043836821614599e-10 + Vec<double>{};
  s = s * square - 2.5052108385441718775e-8;
  s = s * square + 2.7557319223985890653e-6;
  s = s * square - 1.9841269841269841270e-4;
  s = s * square + 8.3333333333333333333e-3;
  s = s * square - 1.6666666666666666667e-1;
  s = s * square * angle + angle;
  Vec<double> c = -1.1470745597729724714e-11 + Vec<double>{};
  c = c * square + 2.0876756987868098979e-9;
  c = c * square - 2.7557319223985890653e-7;
  c = c * square + 2.4801587301587301587e-5;
  c = c * square - 1.3888888888888888889e-3;
  c = c * square + 4.1666666666666666667e-2;
  c = c * square - 0.5;
  c = c * square + 1.0;
  const Bits quarter = reinterpret_cast<Bits>(shifted);
  const Bits zero{};
  const Vec<double> along = (quarter & 1) == zero ? c : s, across = (quarter & 1) == zero ? s : c;
  cosine = ((quarter + 1) & 2) == zero ? along : -along;
  sine = (quarter & 2) == zero ? across : -across;
}

template <int together>
inline void add_waves(const double* rows, const double* weights, Index count, Index dim, const double* tile,
                      Vec<double>* cosines, Vec<double>* sines) {
  constexpr int parts = parts_of<double>;
  Index row = 0;
  for (; row + together <= count; row += together) {
    Vec<double> phases[together][parts] = {};
    for (Index k = 0; k < dim; ++k) {
      Vec<double> frequencies[parts];
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part)
        frequencies[part] = load(tile + k * tile_lanes + part * lanes_of<double>);
#pragma GCC unroll 8
      for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
        for (int part = 0; part < parts; ++part) phases[r][part] += frequencies[part] * rows[(row + r) * dim + k];
    }
#pragma GCC unroll 8
    for (int r = 0; r < together; ++r)
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        Vec<double> cosine, sine;
        cosine_and_sine(phases[r][part], cosine, sine);
        cosines[part] += cosine * weights[row + r];
        sines[part] += sine * weights[row + r];
      }
  }
  if constexpr (together > 1)
    add_waves<together / 2>(rows + row * dim, weights + row, count - row, dim, tile, cosines, sines);
}

void wave_sums(const Embedding& of, const double* tiles, Index tiles_count, double* cosines, double* sines) {
  constexpr int parts = parts_of<double>;
  for (Index t = 0; t < tiles_count; ++t) {
    Vec<double> along[parts] = {}, across[parts] = {};
    add_waves<rows_together<double>>(of.points, of.weights, of.count, of.dim, tiles + t * of.dim * tile_lanes, along,
                                     across);
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
      store(cosines + t * tile_lanes + part * lanes_of<double>, along[part]);
      store(sines + t * tile_lanes + part * lanes_of<double>, across[part]);
    }
  }
}

void feature_products(const std::int8_t* codes, const float* waves, Index frequency_count, float* products,
                      float* squares) {
  constexpr int lanes = lanes_of<float>;
  for (int part = 0; part < parts_of<float>; ++part) {
    Vec<float> product{}, square{};
    for (Index j = 0; j < frequency_count; ++j) {
      const std::int8_t* at = codes + 2 * j * tile_lanes + part * lanes;
      const Vec<float> cosine = widen_codes(at), sine = widen_codes(at + tile_lanes);
      const Vec<float> term = cosine * waves[2 * j] + sine * waves[2 * j + 1];
      product += term;
      square += term * term;
    }
    store(products + part * lanes, product);
    store(squares + part * lanes, square);
  }
}
