"""The compiled core. Call learndock.kernels, which converts and validates; here dtypes and shapes must fit already."""

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Float64 = npt.NDArray[np.float64]
_Float32 = npt.NDArray[np.float32]
_Int64 = npt.NDArray[np.int64]
_Int32 = npt.NDArray[np.int32]
_Int8 = npt.NDArray[np.int8]
_Tiles = npt.NDArray[Any]  # float32 or float64

version: str
compiler: str
tile_lanes: int

def built_instruction_sets() -> list[str]: ...
def available_instruction_sets() -> list[str]: ...
def active_instruction_set() -> str: ...
def default_threads() -> int: ...
def near_order(codes: _Int8, scales: _Float32) -> _Int32: ...
def pack_points(points: npt.NDArray[Any]) -> _Tiles: ...
def unpack_points(tiles: _Tiles, begin: int, end: int) -> _Float64: ...

class PreparedQuery:
    def __init__(self, points: _Float64, weights: _Float64, gamma: float) -> None: ...
    @property
    def group_count(self) -> int: ...

class CoarseQuery:
    def __init__(self, points: _Float64, weights: _Float64, gamma: float) -> None: ...
    @property
    def possible(self) -> bool: ...
    @property
    def pays(self) -> bool: ...

class SketchQuery:
    @property
    def coordinates(self) -> _Float32: ...
    @property
    def residuals(self) -> _Float32: ...
    @property
    def error(self) -> float: ...

class SketchMap:
    def __init__(
        self,
        landmarks: _Float64,
        map: _Float64,
        offsets: _Float64,
        scales: _Float32,
        stages: Sequence[int],
        gamma: float,
    ) -> None: ...
    def encode(
        self, tiles: _Tiles, weights: _Tiles, offsets: _Int64, self_inner: _Float64, threads: int
    ) -> tuple[_Int8, _Float32, _Float32, _Int32, _Int8, _Float32]: ...
    def query(self, points: _Float64, weights: _Float64, self_inner: float, threads: int) -> SketchQuery: ...

class SketchSet:
    def __init__(
        self, map: SketchMap, batches: Sequence[tuple[_Int8, _Float32, _Float32, _Int32, _Int8, _Float32, int]]
    ) -> None: ...
    @property
    def total(self) -> int: ...
    @property
    def ball_lanes(self) -> int: ...
    def promising(
        self,
        queries: Sequence[SketchQuery],
        hidden: Sequence[npt.NDArray[np.bool_] | None],
        correlation: float,
        count: int,
        bounds: npt.NDArray[np.int16],
        threads: int,
    ) -> _Int64: ...
    def within(
        self,
        queries: Sequence[SketchQuery],
        hidden: Sequence[npt.NDArray[np.bool_] | None],
        bounds: npt.NDArray[np.int16],
        reach: Sequence[float],
        threads: int,
    ) -> list[tuple[_Int64, _Float32]]: ...
    def refine(
        self, query: SketchQuery, correlation: float, stage: int, chosen: _Int64, threads: int
    ) -> tuple[_Float32, _Float32]: ...

class FeatureQuery:
    @property
    def waves(self) -> _Float32: ...
    @property
    def square(self) -> float: ...

class ResidualFeatures:
    def __init__(self, map: SketchMap, frequencies: _Float64, gram: _Float64) -> None: ...
    def encode(
        self, tiles: _Tiles, weights: _Tiles, offsets: _Int64, self_inner: _Float64, threads: int
    ) -> tuple[_Int8, _Float32, _Float32, _Int32, _Int8, _Float32, _Int8, _Float32]: ...
    def query(self, points: _Float64, weights: _Float64, sketch: SketchQuery, self_inner: float) -> FeatureQuery: ...

class FeatureSet:
    def __init__(
        self,
        features: ResidualFeatures,
        sketches: SketchSet,
        batches: Sequence[tuple[_Int8, _Float32]],
    ) -> None: ...
    @property
    def total(self) -> int: ...
    def bounds(
        self, sketch: SketchQuery, query: FeatureQuery, deviations: float, chosen: _Int64, threads: int
    ) -> _Float32: ...
    def deviations(
        self, sketch: SketchQuery, query: FeatureQuery, chosen: _Int64, mmd2: _Float64, threads: int
    ) -> _Float64: ...

def values_at_points(
    tiles: _Tiles, weights: _Tiles, offsets: _Int64, points: _Float64, gamma: float, threads: int
) -> _Float64: ...
def inner_products_coarse(
    queries: Sequence[CoarseQuery], tiles: _Tiles, weights: _Tiles, offsets: _Int64, threads: int
) -> tuple[_Float64, _Float64]: ...

class EmbeddingSet:
    def __init__(self, batches: Sequence[tuple[_Tiles, _Tiles, _Int64]]) -> None: ...

def chosen_inner_products_float(
    query: PreparedQuery, embeddings: EmbeddingSet, chosen: _Int64, threads: int
) -> tuple[_Float64, _Float64]: ...
def chosen_inner_products_coarse(
    query: CoarseQuery, embeddings: EmbeddingSet, chosen: _Int64, threads: int
) -> tuple[_Float64, _Float64]: ...
def inner_products_float(
    queries: Sequence[PreparedQuery], tiles: _Tiles, weights: _Tiles, offsets: _Int64, threads: int
) -> tuple[_Float64, _Float64]: ...
def inner_products(
    query_points: Sequence[_Float64],
    query_weights: Sequence[_Float64],
    tiles: _Tiles,
    weights: _Tiles,
    offsets: _Int64,
    gamma: float,
    threads: int,
) -> _Float64: ...
def chosen_inner_products(
    query_points: Sequence[_Float64],
    query_weights: Sequence[_Float64],
    embeddings: EmbeddingSet,
    asking: _Int64,
    chosen: _Int64,
    gamma: float,
    threads: int,
) -> _Float64: ...
def self_inner_products(tiles: _Tiles, weights: _Tiles, offsets: _Int64, gamma: float, threads: int) -> _Float64: ...
def embed_points(points: _Float64, weights: _Float64, at: _Float64, gamma: float, threads: int) -> _Float64: ...
def simplex_qp(K: _Float64, c: _Float64, threads: int) -> tuple[_Float64, _Float64, _Float64]: ...

class HerdingPrecision(enum.Enum):
    automatic = 0
    int16 = 1
    float32 = 2
    float64 = 3

def herd(
    candidates: _Float64,
    mean: _Float64,
    n: int,
    gamma: float,
    replace: bool,
    precision: HerdingPrecision,
    threads: int,
) -> _Int64: ...
def herd_many(
    candidates: Sequence[_Float64],
    means: Sequence[_Float64],
    n: Sequence[int],
    gamma: float,
    replace: bool,
    threads: int,
) -> list[_Int64]: ...
def local_losses(
    rows: _Float64,
    sketches: Sequence[tuple[_Float64, _Float64, _Float64, _Float64]],
    gamma: float,
    threads: int,
) -> tuple[_Float64, _Float64, _Float64]: ...
def search_mixtures(
    embeddings: EmbeddingSet,
    at: _Int64,
    cross: _Float64,
    self_inner: _Float64,
    user_self: _Float64,
    gamma: float,
    rule: MixtureRule,
    size: int,
    threads: int,
) -> tuple[_Float64, _Float64]: ...
def extended_mmd2(
    gram: _Float64,
    cross: _Float64,
    self_inner: float,
    products: _Float64,
    candidate_cross: _Float64,
    candidate_self: _Float64,
    threads: int,
) -> _Float64: ...
def top_k(values: _Float64, k: int) -> _Int64: ...

class WeightRule(enum.Enum):
    nonnegative = 0
    simplex = 1
    free = 2

def fit_reduced_set(
    rows: _Float64, start: _Float64, gamma: float, rule: WeightRule, max_evaluations: int, seed: int, threads: int
) -> tuple[_Float64, _Float64, float, float, int]: ...
def mean_kernel(rows: _Float64, gamma: float, threads: int) -> float: ...

class MixtureRule(enum.Enum):
    distance = 0
    greedy = 1
    auto = 2

def mixture(
    gram: _Float64, cross: _Float64, self_inner: _Float64, rule: MixtureRule, size: int, threads: int
) -> tuple[_Float64, _Float64]: ...
