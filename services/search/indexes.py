"""Which indexes a table has, by its size, and how a search uses them.

Until a table has ``rows_min`` rows it has the full text index alone, and vectors
are compared one by one. From there on it has a scalar index on each column that
filters name, and an IVF_RQ index on its vectors: they are sorted into partitions
around centroids and kept there as one bit a dimension (Gao and Long 2024, "RaBitQ:
Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
Nearest Neighbor Search"). A search estimates the distances within the partitions
nearest to the query and computes those of the best candidates exactly, from the
vectors. Filters apply before that. Rows that came after an index was built are
compared one by one until the next compaction takes them in.

The numbers are measured: ``python -m tests.bench vectors``. IVF_HNSW_SQ, which the
database has too, found all at 100,000 rows (recall 1.000, here 0.987 and 0.997), but
took 39 s to build instead of 0.5, and 45 ms a filtered query instead of 8 to 10.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.search.schema import KEY, VECTOR

# Orders vectors of unit length as the dot product does; but a clustering by dot
# product finds worse centroids.
DISTANCE: Final = "cosine"

# A search reads partitions until they hold so many rows of its scope, and so many
# partitions in any case: the nearest of few rows lie far apart.
PROBED_ROWS = 40_000
PROBES_MIN = 8

# A scope of less than this part of a table is read row by row: a distance that is
# computed costs as much as a few hundred that are estimated.
EXACT_SHARE = 256


class ScalarKind(Enum):
    """The kinds of indexes on columns that filters name."""

    BITMAP = "bitmap"
    """For columns of few values."""
    BTREE = "btree"
    """For columns of many."""
    LABEL_LIST = "label list"
    """For lists of labels."""


# The key is named by no filter: a write looks up by it what it replaces.
SCALAR_KINDS: Mapping[str, ScalarKind] = {
    KEY: ScalarKind.BTREE,
    "tenant_id": ScalarKind.BITMAP,
    "modality": ScalarKind.BITMAP,
    "asset_id": ScalarKind.BTREE,
    "user_id": ScalarKind.BTREE,
    "create_time": ScalarKind.BTREE,
    "tags": ScalarKind.LABEL_LIST,
    "metadata": ScalarKind.LABEL_LIST,
}

_VECTOR_INDEX = re.compile(r"vector_ivf_rq_([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Index:
    """An index on a column."""

    name: str
    column: str

    @property
    def partition_count(self) -> int:
        """Of an index on the vectors; 0 of any other. It is kept in the name, for the
        database does not tell it."""
        found = _VECTOR_INDEX.fullmatch(self.name)
        return int(found[1]) if found else 0


def vector_index(partition_count: int) -> Index:
    """The index on the vectors with so many partitions."""
    return Index(f"vector_ivf_rq_{partition_count}", VECTOR)


def partition_count(existing: Sequence[Index]) -> int:
    """Of the index on the vectors; 0 while there is none."""
    return max((index.partition_count for index in existing), default=0)


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """From which size on a table is indexed."""

    rows_min: int = 10_000
    """A table of fewer rows is scanned, which takes about as long."""
    partition_rows: int = 4096
    """Rows of a partition when the index is built."""
    growth_max: int = 2
    """It is built anew when its partitions are so many times as large."""

    def missing(self, row_count: int, existing: Sequence[Index]) -> list[Index]:
        """What is to be built for a table of ``row_count`` rows, in this order."""
        if row_count < self.rows_min:
            return []
        columns = {index.column for index in existing}
        missing = [Index(f"{name}_idx", name) for name in SCALAR_KINDS if name not in columns]
        fitting = max(1, row_count // self.partition_rows)
        if fitting >= self.growth_max * partition_count(existing):
            missing.append(vector_index(fitting))
        return missing


def superseded(existing: Sequence[Index]) -> list[Index]:
    """The indexes on the vectors that a later one has replaced."""
    latest = partition_count(existing)
    return [each for each in existing if each.column == VECTOR and each.partition_count < latest]


@dataclass(frozen=True, slots=True)
class Probe:
    """How a search uses the index on the vectors."""

    partition_count: int
    """So many partitions are read, those nearest to the query first."""
    refine_factor: int
    """So many times as many candidates as asked for are compared exactly."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a search depends on."""

    row_count: int
    scope_count: int
    """Rows within the scope of the query."""
    partition_count: int


def choose_probe(size: Size, limit: int) -> Probe | None:
    """How to find the nearest ``limit`` rows of a scope; None to read all of it."""
    # A few hundred candidates make up for the error of one bit a dimension.
    candidates = 64 + 10 * limit
    if size.scope_count <= max(candidates, size.row_count // EXACT_SHARE):
        return None
    probes = math.ceil(PROBED_ROWS * size.partition_count / size.scope_count)
    return Probe(max(PROBES_MIN, probes), math.ceil(candidates / limit))
