// SPDX-License-Identifier: Apache-2.0
//
// Sums of exponentials of inner products, for blocks of rows against vectors of points, in any arithmetic. The
// exponentials of one block are written between the multiplications of the next: neither waits for the other, and on a
// processor whose additions have ports of their own the exponential costs two multiplications (see add_exp2). Measured
// per 16 pairs at dim 8 and 32 on AMD Zen 4: 10.4 and 34.5 cycles against 13.5 and 38.6 where the exponentials follow
// the products.
//
// An arithmetic has
//   Element             what is broadcast of a row at a time, one or two coordinates
//   Sum                 a vector of inner products under way
//   start, add, finish  a sum, one more product in it, and the exponent that it makes
//   Lanes<vectors>      what start and finish need of the points

/// Vectors of points worked on together. With query_block_rows it makes 12 sums: two FMAs a cycle with a latency of 4
/// need 8 and more, and 12 new ones, 12 old ones and what is loaded fit into 32 registers. Measured on AMD Zen 5 at dim
/// 8, 32 and 128: 1.15, 1.08 and 1.07 times (dim + 2) / 2 cycles per 16 pairs; with 5 rows 1.13, 1.12 and 1.13.
constexpr int most_vectors = 2;

#if defined(__AVX512F__)
constexpr bool pipelined = true;
#else
constexpr bool pipelined = false;  // 16 registers don't hold two blocks
#endif

/// Vectors of points worked on together that one call covers, and the exponents of a block of rows at them.
template <int rows, int vectors>
using Exponents = Vec<float>[rows][vectors];

/// A load that stays in its register: GCC would repeat it in every product that the vector takes part in.
template <class Vector, class Scalar>
inline Vector load_once(const Scalar* from) {
  Vector v;
  __builtin_memcpy(&v, from, sizeof v);
  return computed_once(v);
}

/// The vectors of points that take part in one step.
template <class Sum, int vectors, class Element>
inline void load_points(const Element* points, Index step, Sum (&y)[vectors]) {
  constexpr int lanes = sizeof(Sum) / sizeof(Element);
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) y[v] = load_once<Sum>(points + (step * vectors + v) * lanes);
}

template <class Arithmetic, int rows, int vectors>
inline void add_steps(const typename Arithmetic::Element* block, const typename Arithmetic::Element* points,
                      Index begin, Index end, typename Arithmetic::Sum (&sums)[rows][vectors]) {
  for (Index step = begin; step < end; ++step) {
    typename Arithmetic::Sum y[vectors];
    load_points(points, step, y);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] = Arithmetic::add(sums[r][v], block[step * rows + r], y[v]);
  }
}

template <bool clamped, int rows, int vectors>
inline void add_exponentials(const Exponents<rows, vectors>& exponents, Vec<float>* totals) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) totals[v] = add_exp2<clamped>(totals[v], exponents[r][v]);
}

/// What is read next, asked for piece by piece: memory answers some twenty requests at a time, and more of them wait in
/// the way of the arithmetic.
struct ReadAhead {
  static constexpr int line = 64;

  std::uintptr_t from;
  int lines;  // left to ask for

  /// What is read after the points `first` to first + points - 1 of some tiles: of those right behind 8 KB further on
  /// at least, for the processor's own prefetch ends at a page.
  ReadAhead(const PointTiles& tiles, Index dim, Index first, Index points) {
    constexpr Index least_ahead = 2048;
    const Index floats = points * dim;
    const Index after = tiles.next != nullptr ? 0 : floats > least_ahead ? floats : least_ahead;
    const float* next = tiles.next != nullptr ? tiles.next : tiles.first;
    from = reinterpret_cast<std::uintptr_t>(next) + static_cast<std::uintptr_t>(after + first * dim) * sizeof(float);
    lines = static_cast<int>((floats * static_cast<Index>(sizeof(float)) + line - 1) / line);
  }

  /// So many lines a call that `parts` calls ask for all.
  int in_parts(Index parts) const {
    return parts > 1 ? (lines + static_cast<int>(parts) - 1) / static_cast<int>(parts) : lines;
  }

  void ask(int count) {
    for (; count > 0 && lines > 0; --count, --lines, from += line)
      __builtin_prefetch(reinterpret_cast<const void*>(from), 0, 2);
  }
};

/// Rows of a group and the points that they meet. Blocks of query_block_rows rows, the last one of what is left. Not
/// clamped where no exponent is below -125.
template <class Arithmetic, int vectors, bool clamped = true>
struct BlockSums {
  using Element = typename Arithmetic::Element;
  using Sum = typename Arithmetic::Sum;
  static constexpr int pipelined_steps = Arithmetic::pipelined_steps;

  const Element* rows;     // [block][step][row]
  const float* row_terms;  // [row]
  Index count;
  Index steps;
  const Element* points;  // [step][vectors][lanes]
  typename Arithmetic::template Lanes<vectors> lanes;
  ReadAhead& ahead;

  const Element* block(Index b) const { return rows + b * query_block_rows * steps; }
  const float* terms(Index b) const { return row_terms + b * query_block_rows; }

  template <int block_rows>
  void start(Index b, Sum (&sums)[block_rows][vectors]) const {
#pragma GCC unroll 8
    for (int r = 0; r < block_rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] = Arithmetic::start(lanes, v, terms(b)[r]);
  }

  template <int block_rows>
  void finish(Index b, const Sum (&sums)[block_rows][vectors], Exponents<block_rows, vectors>& exponents) const {
#pragma GCC unroll 8
    for (int r = 0; r < block_rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) exponents[r][v] = Arithmetic::finish(sums[r][v], lanes, v, terms(b)[r]);
  }

  /// A block by itself.
  template <int block_rows>
  void exponents_of(Index b, Exponents<block_rows, vectors>& exponents) const {
    Sum sums[block_rows][vectors];
    start(b, sums);
    add_steps<Arithmetic>(block(b), points, 0, steps, sums);
    finish(b, sums, exponents);
  }

  template <int block_rows>
  void add_block(Index b, Vec<float>* totals) const {
    Exponents<block_rows, vectors> exponents;
    exponents_of(b, exponents);
    add_exponentials<clamped>(exponents, totals);
  }

  /// The exponents of a block, and between its products the exponentials of the block before.
  template <int block_rows>
  void pipeline(Index b, const Exponents<query_block_rows, vectors>& before, Vec<float>* totals,
                Exponents<block_rows, vectors>& exponents) const {
    constexpr int products = pipelined_steps * block_rows * vectors;
    constexpr int exponentials = query_block_rows * vectors;
    const Element* from = points;
    asm("" : "+r"(from));  // or GCC keeps a small tile in registers that it does not have
    Sum sums[block_rows][vectors];
    start(b, sums);
#pragma GCC unroll 16
    for (int step = 0; step < pipelined_steps; ++step) {
      Sum y[vectors];
      load_points(from, step, y);
#pragma GCC unroll 8
      for (int r = 0; r < block_rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          sums[r][v] = Arithmetic::add(sums[r][v], block(b)[step * block_rows + r], y[v]);
          const int done = (step * block_rows + r) * vectors + v;
          const int e = done * exponentials / products;
          if (e < (done + 1) * exponentials / products)
            totals[e % vectors] = add_exp2<clamped>(totals[e % vectors], before[e / vectors][e % vectors]);
        }
    }
    add_steps<Arithmetic>(block(b), from, pipelined_steps, steps, sums);
    finish(b, sums, exponents);
  }

  template <int block_rows>
  void finish_pipeline(Index b, const Exponents<query_block_rows, vectors>& before, Vec<float>* totals) const {
    Exponents<block_rows, vectors> exponents;
    pipeline(b, before, totals, exponents);
    add_exponentials<clamped>(exponents, totals);
  }

  /// totals[v] += sum over the rows of 2^exponent.
  void add_to(Vec<float>* totals) const {
    const Index blocks = count / query_block_rows;
    const int rest = static_cast<int>(count % query_block_rows);
    const int lines = ahead.in_parts(blocks);
    if (blocks == 0) ahead.ask(lines);
    if (!pipelined || steps < pipelined_steps || blocks == 0) {
      for (Index b = 0; b < blocks; ++b) {
        ahead.ask(lines);
        add_block<query_block_rows>(b, totals);
      }
      switch (rest) {
        case 1:
          return add_block<1>(blocks, totals);
        case 2:
          return add_block<2>(blocks, totals);
        case 3:
          return add_block<3>(blocks, totals);
        case 4:
          return add_block<4>(blocks, totals);
        case 5:
          return add_block<5>(blocks, totals);
        default:
          return;
      }
    }
    Exponents<query_block_rows, vectors> before;
    ahead.ask(lines);
    exponents_of(0, before);
    for (Index b = 1; b < blocks; ++b) {
      ahead.ask(lines);
      Exponents<query_block_rows, vectors> exponents;
      pipeline(b, before, totals, exponents);
#pragma GCC unroll 8
      for (int r = 0; r < query_block_rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) before[r][v] = exponents[r][v];
    }
    switch (rest) {
      case 1:
        return finish_pipeline<1>(blocks, before, totals);
      case 2:
        return finish_pipeline<2>(blocks, before, totals);
      case 3:
        return finish_pipeline<3>(blocks, before, totals);
      case 4:
        return finish_pipeline<4>(blocks, before, totals);
      case 5:
        return finish_pipeline<5>(blocks, before, totals);
      default:
        return add_exponentials<clamped>(before, totals);
    }
  }
};

/// Where the vectors of points that begin at the lane `first` of some tiles lie.
template <int vectors>
struct LaneVectors {
  const float* from[vectors];

  LaneVectors(const PointTiles& tiles, Index dim, Index first) {
    for (int v = 0; v < vectors; ++v) {
      const Index lane = first + v * lanes_of<float>;
      from[v] = tiles.first + lane / tile_lanes * dim * tile_lanes + lane % tile_lanes;
    }
  }

  Vec<float> at(Index k, int v) const { return load(from[v] + k * tile_lanes); }
};

/// work(vectors, first) for all points of the tiles, as many vectors at a time as there are.
template <class Work>
inline void for_each_lane_vectors(Index tiles_count, const Work& work) {
  constexpr Index together = most_vectors * lanes_of<float>;
  const Index points = tiles_count * tile_lanes;
  Index first = 0;
  for (; first + together <= points; first += together) work.template operator()<most_vectors>(first);
  if constexpr (together > tile_lanes)
    if (first < points) work.template operator()<1>(first);
}
