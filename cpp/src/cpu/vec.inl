// SPDX-License-Identifier: Apache-2.0
//
// Vectors of the width that the including file names, by the compiler's vector extension: the same source for SSE2,
// AVX2, AVX-512 and NEON. Everything has internal linkage.

template <class Scalar>
struct VecOf;

template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(LEARNDOCK_VECTOR_BYTES)));
  typedef std::int32_t bits __attribute__((vector_size(LEARNDOCK_VECTOR_BYTES)));
};

template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(LEARNDOCK_VECTOR_BYTES)));
  typedef std::int64_t bits __attribute__((vector_size(LEARNDOCK_VECTOR_BYTES)));
};

template <>
struct VecOf<std::int16_t> {
  typedef std::int16_t type __attribute__((vector_size(LEARNDOCK_VECTOR_BYTES)));
};

template <class Scalar>
using Vec = typename VecOf<Scalar>::type;

template <class Scalar>
constexpr int lanes_of = LEARNDOCK_VECTOR_BYTES / static_cast<int>(sizeof(Scalar));

/// Vectors that hold the lanes of one tile.
template <class Scalar>
constexpr int parts_of = static_cast<int>(tile_lanes) / lanes_of<Scalar>;

/// Rows worked on together. 8 accumulators cover the latency of two FMAs a cycle and leave registers to spare even
/// where there are only 16.
template <class Scalar>
constexpr int rows_together = 8 / parts_of<Scalar>;

template <class Scalar>
inline Vec<Scalar> load(const Scalar* from) {
  Vec<Scalar> v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class Scalar>
inline void store(Scalar* to, Vec<Scalar> v) {
  __builtin_memcpy(to, &v, sizeof v);
}

/// 8-bit integers of the lanes of one vector, as floats.
inline Vec<float> widen_codes(const std::int8_t* from) {
#if defined(__AVX512F__)
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
  Vec<float> v;
  for (int lane = 0; lane < lanes_of<float>; ++lane) v[lane] = static_cast<float>(from[lane]);
  return v;
#endif
}

inline Vec<float> square_root(Vec<float> x) {
  for (int lane = 0; lane < lanes_of<float>; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
  return x;
}

#if defined(__SSE2__)
/// sum + low x low + high x high of two 16-bit integers in each lane; sums wrap around.
inline VecOf<float>::bits add_pairs(VecOf<float>::bits sum, VecOf<float>::bits x, VecOf<float>::bits y) {
  typedef VecOf<float>::bits Bits;
#if defined(__AVX512VNNI__)
  return reinterpret_cast<Bits>(_mm512_dpwssd_epi32((__m512i)sum, (__m512i)x, (__m512i)y));
#elif defined(__AVX512BW__)
  return sum + reinterpret_cast<Bits>(_mm512_madd_epi16((__m512i)x, (__m512i)y));
#elif defined(__AVX2__)
  return sum + reinterpret_cast<Bits>(_mm256_madd_epi16((__m256i)x, (__m256i)y));
#else
  return sum + reinterpret_cast<Bits>(_mm_madd_epi16((__m128i)x, (__m128i)y));
#endif
}
#endif

/// 2^x for x <= 0 (or a hair above), by rounding to the nearest integer n and a polynomial in x - n in [-1/2, 1/2].
/// Below the smallest normal number the result is that number. Relative error 2e-7.
inline Vec<float> exp2(Vec<float> x) {
  typedef VecOf<float>::bits Bits;
  const float smallest = -126.0f;
  const float shift = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low bits
  x = x < smallest ? smallest - Vec<float>{} : x;
  const Vec<float> shifted = x + shift;
  const Vec<float> f = x - (shifted - shift);
  Vec<float> p = 1.5403530e-4f + Vec<float>{};
  p = p * f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  return reinterpret_cast<Vec<float>>(reinterpret_cast<Bits>(p) + (reinterpret_cast<Bits>(shifted) << 23));
}

#if defined(__AVX512F__)
/// What add_exp2 leaves out of each term.
constexpr float exp2_unit = 0.24111251f;

/// sum + 2^x / exp2_unit for x <= 0 (or a hair above), in two multiplications with the sum; the rest are additions, a
/// shift and a permutation. x = n + i/16 + f with |f| <= 1/32: n goes to the exponent, 2^(i/16) comes of a table, and
/// 2^f = exp2_unit (g^2 + 2.081034), g = f + 23/16, the quadratic with its square completed: 1 / ln 2 is so near 23/16
/// that the shift rides on the subtraction. Relative error 7e-7. Below 2^-125 the result is that number.
template <bool clamped = true>
inline Vec<float> add_exp2(Vec<float> sum, Vec<float> x) {
  typedef VecOf<float>::bits Bits;
  // Entry i: the bits of 2^(i/16), less the i << 19 that the shift below brings along with n.
  const Bits table = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
                      0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
  const float smallest = -125.0f;
  const float shift = 786432.0f;  // 1.5 * 2^19: a unit in the last place is 1/16
  const float back = 786432.0f + 23.0f / 16;
  x = _mm512_max_ps(x, smallest - Vec<float>{});
  const Vec<float> rounded = x + shift;
  const Bits bits = reinterpret_cast<Bits>(rounded);
  const Bits power = reinterpret_cast<Bits>(_mm512_permutexvar_epi32((__m512i)bits, (__m512i)table)) + (bits << 19);
  const Vec<float> g = x - (rounded - back);
  return sum + reinterpret_cast<Vec<float>>(power) * (g * g + 2.081034f);
}
#elif defined(__AVX2__)
constexpr float exp2_unit = 1.0f;

/// The same with a table of 8 and a cubic: four multiplications, relative error 1.5e-7. Not clamped, x >= -125.
template <bool clamped = true>
inline Vec<float> add_exp2(Vec<float> sum, Vec<float> x) {
  typedef VecOf<float>::bits Bits;
  const Bits table = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
  const float smallest = -125.0f;
  const float shift = 1572864.0f;  // 1.5 * 2^20: a unit in the last place is 1/8
  if constexpr (clamped) x = _mm256_max_ps(x, smallest - Vec<float>{});
  const Vec<float> rounded = x + shift;
  const Bits bits = reinterpret_cast<Bits>(rounded);
  const Bits power = reinterpret_cast<Bits>(_mm256_permutevar8x32_epi32((__m256i)table, (__m256i)bits)) + (bits << 20);
  const Vec<float> f = x - (rounded - shift);
  Vec<float> p = 0.0555093173f + Vec<float>{};
  p = p * f + 0.24026408f;
  p = p * f + 0.693147178f;
  p = p * f + 0.999999982f;
  return sum + reinterpret_cast<Vec<float>>(power) * p;
}
#else
constexpr float exp2_unit = 1.0f;

template <bool clamped = true>
inline Vec<float> add_exp2(Vec<float> sum, Vec<float> x) {
  return sum + exp2(x);
}
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
/// Whether an exponential takes longer where it clamps. With 512 bits additions and the like are free beside products.
constexpr bool clamping_costs = true;
#else
constexpr bool clamping_costs = false;
#endif

/// A vector as it is, in a register: GCC would make it again, from memory or of its factors, wherever it is used.
template <class Vector>
inline Vector computed_once(Vector v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__SSE2__)
  asm("" : "+x"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

template <int count>
struct Floats {
  typedef float type __attribute__((vector_size(count * sizeof(float))));
};

/// All lanes by `combine`, which takes vectors and numbers, in halves: lane by lane takes longer.
template <int count, class Combine>
inline float fold(typename Floats<count>::type values, const Combine& combine) {
  if constexpr (count == 2) {
    return combine(values[0], values[1]);
  } else {
    typename Floats<count / 2>::type halves[2];
    __builtin_memcpy(&halves, &values, sizeof values);
    return fold<count / 2>(combine(halves[0], halves[1]), combine);
  }
}

inline float largest_lane(Vec<float> values) {
  return fold<lanes_of<float>>(values, [](auto a, auto b) { return a > b ? a : b; });
}

inline float sum_of_lanes(Vec<float> values) {
  return fold<lanes_of<float>>(values, [](auto a, auto b) { return a + b; });
}

/// sum + x y, rounded once where the instruction set can do that. What a compiler makes of the plain expression may
/// depend on what is around it, and a product is to be the same to the bit wherever it is computed.
inline Vec<double> fused_sum(Vec<double> sum, Vec<double> x, Vec<double> y) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(x, y, sum);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(x, y, sum);
#else
  return sum + x * y;
#endif
}

/// The larger of x and a number, and x where that is NaN; in one instruction: GCC makes two of the comparison.
inline Vec<double> at_least(Vec<double> x, double smallest) {
#if defined(__AVX512F__)
  return _mm512_max_pd(smallest - Vec<double>{}, x);
#elif defined(__AVX2__)
  return _mm256_max_pd(smallest - Vec<double>{}, x);
#else
  return x < smallest ? smallest - Vec<double>{} : x;
#endif
}

/// 2^x in float64 for x <= 0 (or a hair above), 1 for x = 0. Below the smallest normal number the result is that
/// number.
#if defined(__AVX512F__)
/// x = n + i/16 + f with |f| <= 1/32: n goes to the exponent, 2^(i/16) comes of a table, 2^f is a polynomial of degree
/// 6 whose own error is 8e-18. Relative error 3e-16.
inline Vec<double> exp2(Vec<double> x) {
  typedef VecOf<double>::bits Bits;
  // Entry i: the bits of 2^(i/16), less the i << 48 that the shift below brings along with n.
  const Bits first = {0x3ff0000000000000, 0x3fefb5586cf9890f, 0x3fef72b83c7d517b, 0x3fef387a6e756238,
                      0x3fef06fe0a31b715, 0x3feedea64c123422, 0x3feebfdad5362a27, 0x3feeab07dd485429};
  const Bits second = {0x3feea09e667f3bcd, 0x3feea11473eb0187, 0x3feeace5422aa0db, 0x3feec49182a3f090,
                       0x3feee89f995ad3ad, 0x3fef199bdd85529c, 0x3fef5818dcfba487, 0x3fefa4afa2a490da};
  const double shift = 422212465065984.0;  // 1.5 * 2^48: a unit in the last place is 1/16
  x = at_least(x, -1022.0);
  const Vec<double> rounded = x + shift;
  const Vec<double> f = x - (rounded - shift);
  Vec<double> p = 1.5403756245457709e-4 + Vec<double>{};
  p = p * f + 1.3333818815389240e-3;
  p = p * f + 9.6181291065256820e-3;
  p = p * f + 5.5504108652093570e-2;
  p = p * f + 2.4022650695910086e-1;
  p = p * f + 6.9314718055994680e-1;
  p = p * f + 1.0;
  const Bits bits = reinterpret_cast<Bits>(rounded);
  const Bits entry = (Bits)_mm512_permutex2var_epi64((__m512i)first, (__m512i)bits, (__m512i)second);
  return reinterpret_cast<Vec<double>>(entry + (bits << 48)) * p;
}
#else
/// By rounding to the nearest integer n and a polynomial of degree 11 in x - n, whose own error is 2e-17. Relative
/// error 2e-16.
inline Vec<double> exp2(Vec<double> x) {
  typedef VecOf<double>::bits Bits;
  const double shift = 6755399441055744.0;  // 1.5 * 2^52
  x = at_least(x, -1022.0);
  const Vec<double> rounded = x + shift;
  const Vec<double> f = x - (rounded - shift);
  Vec<double> p = 4.4726096619023967e-10 + Vec<double>{};
  p = p * f + 7.0740847091058360e-9;
  p = p * f + 1.0177931864788604e-7;
  p = p * f + 1.3215433353156089e-6;
  p = p * f + 1.5252734190424238e-5;
  p = p * f + 1.5403530461447537e-4;
  p = p * f + 1.3333558145962180e-3;
  p = p * f + 9.6181291075901570e-3;
  p = p * f + 5.5504108664824130e-2;
  p = p * f + 2.4022650695910144e-1;
  p = p * f + 6.9314718055994530e-1;
  p = p * f + 1.0;
  return reinterpret_cast<Vec<double>>(reinterpret_cast<Bits>(p) + (reinterpret_cast<Bits>(rounded) << 52));
}
#endif
