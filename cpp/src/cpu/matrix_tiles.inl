// SPDX-License-Identifier: Apache-2.0
//
// The matrix registers of AMX: 16 rows of 64 bytes, and one instruction that multiplies two of them. Where
// LEARNDOCK_AMX_TWIN is defined, the same operations in plain C++: what is built on them runs, and is tested, on any
// processor.

constexpr int tile_register_rows = 16;
constexpr int tile_register_pairs = 16;  // pairs of bfloat16, or floats, in a row

/// Register numbers. A block of query rows meets two tiles of points; the last block has fewer rows, and registers of
/// its own shape.
enum TileRegister {
  products_0,
  products_1,
  rows_of_block,
  points_0,
  points_1,
  last_products_0,
  last_products_1,
  last_rows
};

#if defined(LEARNDOCK_AMX_TWIN)

struct MatrixTiles {
  std::uint32_t registers[8][tile_register_rows][tile_register_pairs];
  int rows[8];

  explicit MatrixTiles(int last) {
    for (int t = 0; t < 8; ++t) rows[t] = t >= last_products_0 ? last : tile_register_rows;
  }
  ~MatrixTiles() {}

  void shape_last(int last) {
    for (int t = last_products_0; t <= last_rows; ++t) rows[t] = last;
  }

  template <int tile>
  void zero() {
    __builtin_memset(registers[tile], 0, sizeof registers[tile]);
  }

  template <int tile>
  void load(const std::uint32_t* from) {
    for (int r = 0; r < rows[tile]; ++r) __builtin_memcpy(registers[tile][r], from + r * tile_register_pairs, 64);
  }

  template <int tile>
  void store(float* to) const {
    for (int r = 0; r < rows[tile]; ++r) __builtin_memcpy(to + r * tile_register_pairs, registers[tile][r], 64);
  }

  /// products[r][n] += sum_p low(rows[r][p]) low(points[p][n]) + high(rows[r][p]) high(points[p][n])
  template <int products, int of_rows, int points>
  void multiply() {
    for (int r = 0; r < rows[products]; ++r)
      for (int n = 0; n < tile_register_pairs; ++n) {
        float sum = as_float(registers[products][r][n]);
        for (int p = 0; p < tile_register_pairs; ++p) {
          const std::uint32_t x = registers[of_rows][r][p], y = registers[points][p][n];
          sum += as_float(x << 16) * as_float(y << 16);
          sum += as_float(x & 0xffff0000u) * as_float(y & 0xffff0000u);
        }
        __builtin_memcpy(&registers[products][r][n], &sum, sizeof sum);
      }
  }

 private:
  static float as_float(std::uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  }
};

#else

class MatrixTiles {
 public:
  explicit MatrixTiles(int last) { shape_last(last); }
  ~MatrixTiles() { _tile_release(); }
  MatrixTiles(const MatrixTiles&) = delete;
  MatrixTiles& operator=(const MatrixTiles&) = delete;

  /// Gives the registers of the last block their rows. All registers lose what they hold.
  void shape_last(int last) {
    // The layout that LDTILECFG reads (Intel SDM, volume 2).
    struct alignas(64) {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t bytes_of_row[16] = {};
      std::uint8_t rows[16] = {};
    } shapes;
    static_assert(sizeof shapes == 64, "LDTILECFG reads 64 bytes");
    for (int t = 0; t < 8; ++t) {
      shapes.bytes_of_row[t] = 64;
      shapes.rows[t] = static_cast<std::uint8_t>(t >= last_products_0 ? last : tile_register_rows);
    }
    _tile_loadconfig(&shapes);
  }

  // As assembly: the compiler's own functions take numbers of registers as literals alone.
  template <int tile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
  }
  template <int tile>
  void load(const std::uint32_t* from) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(tile), "r"(from), "r"(row_bytes) : "memory");
  }
  template <int tile>
  void store(float* to) const {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(tile), "r"(to), "r"(row_bytes) : "memory");
  }
  template <int products, int of_rows, int points>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(products), "i"(of_rows), "i"(points));
  }

 private:
  static constexpr long row_bytes = 64;
};

#endif
