"""The table of documents: its columns, and records to Arrow and back."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pyarrow as pa

from services.search.filters import metadata_entry
from services.search.record import Chars, Record, Region, Span

KEY = "key"
VECTOR = "vector"
TEXT = "text"

# LanceDB checks this key against concurrent writers; it does not index it.
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}

_STRINGS = (
    "tenant_id",
    "document_id",
    "segment_id",
    "asset_id",
    "asset_name",
    "asset_sha256",
    "user_id",
    "modality",
    "segment_kind",
    "origin",
    TEXT,
)
_INTEGERS = {
    "span_start_ms": pa.int64(),
    "span_end_ms": pa.int64(),
    "region_left_px": pa.int64(),
    "region_top_px": pa.int64(),
    "region_width_px": pa.int64(),
    "region_height_px": pa.int64(),
    "char_start": pa.int64(),
    "char_end": pa.int64(),
}

PERCEPTUAL_HASH = "perceptual_hash"

# A record but its vector, as JSON. The columns are there for filters; to read ten rows
# of two dozen columns takes longer than to find them.
DOCUMENT = "document"

# What tables of an earlier version lack. Columns are added at the end, so there
# they are in every table.
ADDED_FIELDS = (
    pa.field("metadata", pa.list_(pa.string())),
    pa.field(PERCEPTUAL_HASH, pa.int64()),
    pa.field(DOCUMENT, pa.string()),
)

COLUMNS = (
    *(*_STRINGS, "confidence", *_INTEGERS, "tags", "create_time", VECTOR),
    *(field.name for field in ADDED_FIELDS),
)
_PLACES = {"span": Span, "region": Region, "chars": Chars}
_PLAIN = (*_STRINGS, "confidence", "tags", "metadata", "create_time_us", PERCEPTUAL_HASH)

# A hash is unsigned, its column is not.
_HASH_BITS = 64


def table_schema(dimension: int) -> pa.Schema:
    """The schema of the table of a space whose vectors have ``dimension`` numbers."""
    return pa.schema(
        [
            pa.field(KEY, pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            *(pa.field(name, pa.string(), nullable=False) for name in _STRINGS),
            pa.field("confidence", pa.float32(), nullable=False),
            *(pa.field(name, kind) for name, kind in _INTEGERS.items()),
            pa.field("tags", pa.list_(pa.string()), nullable=False),
            pa.field("create_time", pa.timestamp("us", tz="UTC")),
            pa.field(VECTOR, pa.list_(pa.float32(), dimension), nullable=False),
            *ADDED_FIELDS,
        ]
    )


# All that makes a record, where ``lacks_documents`` is false.
READ_COLUMNS = (DOCUMENT, VECTOR)


def dimension_of(schema: pa.Schema) -> int:
    """How many numbers the vectors of a table have."""
    size: int = schema.field(VECTOR).type.list_size
    return size


def to_arrow(records: Sequence[Record], dimension: int) -> pa.Table:
    """Records, all of ``dimension``, as rows."""
    vectors = np.concatenate([record.vector for record in records])
    columns: dict[str, Any] = {KEY: [record.key for record in records]}
    for name in _STRINGS:
        columns[name] = [getattr(record, name) for record in records]
    columns["confidence"] = [record.confidence for record in records]
    located = [_located(record) for record in records]
    for index, name in enumerate(_INTEGERS):
        columns[name] = [numbers[index] for numbers in located]
    columns["tags"] = [list(record.tags) for record in records]
    columns["create_time"] = [record.create_time_us for record in records]
    columns["metadata"] = [
        [metadata_entry(key, value) for key, value in record.metadata.items()] for record in records
    ]
    columns[PERCEPTUAL_HASH] = [signed_hash(record.perceptual_hash) for record in records]
    columns[DOCUMENT] = [_to_json(record) for record in records]
    columns[VECTOR] = pa.FixedSizeListArray.from_arrays(pa.array(vectors, pa.float32()), dimension)
    return pa.table(columns, schema=table_schema(dimension))


def lacks_documents(rows: pa.Table) -> bool:
    """Whether an earlier version wrote some of these rows, which had columns alone."""
    return bool(rows.column(DOCUMENT).null_count)


def from_arrow(rows: pa.Table) -> list[Record]:
    """Rows with ``READ_COLUMNS``, or all ``COLUMNS`` where they lack documents, as
    records in their order."""
    vectors = _vectors(rows)
    if lacks_documents(rows):
        return _from_columns(rows, vectors)
    documents = rows.column(DOCUMENT).to_pylist()
    return [
        _from_json(document, vector) for document, vector in zip(documents, vectors, strict=True)
    ]


def _to_json(record: Record) -> str:
    content = {name: getattr(record, name) for name in _PLAIN}
    for name in _PLACES:
        place = getattr(record, name)
        content[name] = None if place is None else astuple(place)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _from_json(document: str, vector: np.ndarray) -> Record:
    content = json.loads(document)
    for name, kind in _PLACES.items():
        content[name] = None if content[name] is None else kind(*content[name])
    content["tags"] = tuple(content["tags"])
    return Record(**content, vector=vector)


def _from_columns(rows: pa.Table, vectors: np.ndarray) -> list[Record]:
    microseconds = rows.column("create_time").cast(pa.int64()).to_pylist()
    plain = rows.select(
        [name for name in COLUMNS if name not in (VECTOR, "create_time", DOCUMENT)]
    ).to_pylist()
    return [
        _record(row, create_time_us, vector)
        for row, create_time_us, vector in zip(plain, microseconds, vectors, strict=True)
    ]


def _vectors(rows: pa.Table) -> np.ndarray:
    column = rows.column(VECTOR).combine_chunks()
    dimension = column.type.list_size
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, dimension)


def _record(row: dict[str, Any], create_time_us: int | None, vector: np.ndarray) -> Record:
    span = region = chars = None
    if row["span_start_ms"] is not None:
        span = Span(row["span_start_ms"], row["span_end_ms"])
    if row["region_left_px"] is not None:
        names = ("left_px", "top_px", "width_px", "height_px")
        region = Region(*(row[f"region_{name}"] for name in names))
    if row["char_start"] is not None:
        chars = Chars(row["char_start"], row["char_end"])
    return Record(
        **{name: row[name] for name in _STRINGS},
        confidence=row["confidence"],
        span=span,
        region=region,
        chars=chars,
        tags=tuple(row["tags"]),
        metadata=dict(entry.split("=", 1) for entry in row["metadata"] or ()),
        create_time_us=create_time_us,
        perceptual_hash=_unsigned(row[PERCEPTUAL_HASH]),
        vector=vector,
    )


def signed_hash(perceptual_hash: int | None) -> int | None:
    """64 unsigned bits as the column holds them."""
    if perceptual_hash is None or perceptual_hash < 1 << (_HASH_BITS - 1):
        return perceptual_hash
    return perceptual_hash - (1 << _HASH_BITS)


def _unsigned(stored: int | None) -> int | None:
    return None if stored is None else stored % (1 << _HASH_BITS)


def _located(record: Record) -> tuple[int | None, ...]:
    span, region, chars = record.span, record.region, record.chars
    return (
        span.start_ms if span else None,
        span.end_ms if span else None,
        region.left_px if region else None,
        region.top_px if region else None,
        region.width_px if region else None,
        region.height_px if region else None,
        chars.start if chars else None,
        chars.end if chars else None,
    )
