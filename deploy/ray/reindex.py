"""Embed all documents of the index anew, on Ray, and put them in the place of the old ones.

    python deploy/ray/reindex.py build --workers 2     while the server runs
    python deploy/ray/reindex.py swap                  while it is stopped, for seconds

``build`` reads the live table through lance-ray, embeds what was said, written,
seen or passed as text with the function of the online path, and writes a table
of the same schema beside it. Vectors of pictures are taken over. ``swap`` adds
what was indexed since, takes out what was deleted, and replaces the live table
in one commit: a crash leaves the old one or the new one. The settings are the
server's (``SENSORIUM_DATA_DIR``, ...); with ``--address`` the work runs on a
cluster whose machines share the data folder and have this package.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lance
import lance_ray
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from services.encode.backends.contract import LoadOptions
from services.encode.engines import ModelChoice
from services.encode.joint import load_joint
from services.encode.labels import load_vocabulary
from services.runtime.errors import InvalidInput, SensoriumError, Unavailable
from services.runtime.models import resolve
from services.runtime.settings import Settings, load_settings
from services.search.durability import FolderSync
from services.search.filters import quote_all
from services.search.lease import FolderLease
from services.search.schema import DOCUMENT, KEY, TEXT, VECTOR, dimension_of, table_schema
from services.search.tables import Tables

ROWS_A_BATCH = 512
_TEXTS_A_PASS = 16
_VERSIONS = "_versions"
_KEYS_A_CONDITION = 500


class Embedder:
    """The text model in a process of Ray's: one thread, one batch of rows at a time."""

    def __init__(self, cache_dir: str) -> None:
        choice, options = ModelChoice(), LoadOptions(Path(cache_dir), 1)
        vocabulary = load_vocabulary(resolve(choice.class_names, options.cache_dir).path)
        self._model, _ = load_joint(choice.text, vocabulary, options)
        self.dimension = self._model.description.dimension

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows with fresh vectors where they have words, and their old one where not.

        Raises:
            ValueError: a row without words has a vector of another dimension.
        """
        texts = rows[TEXT].to_pylist()
        worded = [index for index, text in enumerate(texts) if text.strip()]
        vectors = _vectors(rows, self.dimension, keep=len(worded) < len(texts))
        for start in range(0, len(worded), _TEXTS_A_PASS):
            part = worded[start : start + _TEXTS_A_PASS]
            prepared = [self._model.prepare(texts[index]) for index in part]
            for index, output in zip(part, self._model.forward(prepared), strict=True):
                vectors[index] = self._model.finish(output)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.dimension)
        return _as_today(rows.drop_columns([VECTOR]).append_column(VECTOR, column), self.dimension)


def _vectors(rows: pa.Table, dimension: int, *, keep: bool) -> Any:
    if not keep:
        return np.empty((rows.num_rows, dimension), np.float32)
    flat = rows[VECTOR].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, dimension)


def _as_today(rows: pa.Table, dimension: int) -> pa.Table:
    """Rows of a table that may be older than some of the columns, in today's schema."""
    schema = table_schema(dimension)
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


def build(settings: Settings, workers: int, address: str | None) -> int:
    """Write the table beside the live one; how many rows it has."""
    live, fresh = _paths(settings)
    snapshot = live.with_name(f"snapshot-{settings.space}.lance")
    if address:
        ray.init(address=address)
    else:
        # One more than embed, for what reads and writes: without it nothing would ever start.
        ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False)
    # What a worker needs is computed once, where all of them find it.
    Embedder(str(settings.cache_dir))
    try:
        # What is written meanwhile is caught up with by ``swap``.
        _link_tree(live, snapshot)
        rows = lance_ray.read_lance(str(snapshot))
        embedded = rows.map_batches(
            Embedder,
            fn_constructor_args=(str(settings.cache_dir),),
            batch_format="pyarrow",
            batch_size=ROWS_A_BATCH,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        schema = table_schema(dimension_of(lance.dataset(str(snapshot)).schema))
        lance_ray.write_lance(embedded, str(fresh), schema=schema, mode="overwrite")
    finally:
        ray.shutdown()
        shutil.rmtree(snapshot, ignore_errors=True)
    return int(lance.dataset(str(fresh)).count_rows())


def _link_tree(table: Path, snapshot: Path) -> None:
    """The table as it is now, by hard links: the server that runs clears old versions away."""
    shutil.rmtree(snapshot, ignore_errors=True)
    # First the lists of files, so that what the latest of them names is linked after it.
    shutil.copytree(table / _VERSIONS, snapshot / _VERSIONS, copy_function=_link)
    others = shutil.ignore_patterns(_VERSIONS)
    shutil.copytree(table, snapshot, ignore=others, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    # What is gone meanwhile was of an old version, or a draft.
    with contextlib.suppress(FileNotFoundError):
        os.link(source, target)


async def swap(settings: Settings) -> tuple[int, int]:
    """Put the table in the place of the live one; rows added and deleted since it was built.

    Raises:
        Unavailable: INDEX_IN_USE, while a server writes the index.
    """
    lease = FolderLease(_folder(settings), address="")
    if await lease.acquire() is not None:
        raise Unavailable("INDEX_IN_USE", "A server writes the index; stop it first.")
    try:
        return await asyncio.to_thread(_replace, settings)
    finally:
        await lease.release()


def _replace(settings: Settings) -> tuple[int, int]:
    live, fresh = _paths(settings)
    added, deleted = _catch_up(live, fresh, settings)
    built = lance.dataset(str(fresh))
    lance.write_dataset(
        built.scanner().to_reader(), str(live), schema=built.schema, mode="overwrite"
    )
    sync = FolderSync(live)
    sync.sync()
    sync.close()
    shutil.rmtree(fresh)
    return added, deleted


def _catch_up(live: Path, fresh: Path, settings: Settings) -> tuple[int, int]:
    """Make the fresh table hold the same documents as the live one."""
    old, new = lance.dataset(str(live)), lance.dataset(str(fresh))
    missing, gone = _keys_of_others(old, new), _keys_of_others(new, old)
    for condition in _conditions(gone.to_pylist()):
        new.delete(condition)
    if len(missing):
        embed = Embedder(str(settings.cache_dir))
        for condition in _conditions(missing.to_pylist()):
            rows = embed(old.to_table(filter=condition))
            lance.write_dataset(rows, str(fresh), mode="append")
    return len(missing), len(gone)


def _keys_of_others(table: lance.LanceDataset, other: lance.LanceDataset) -> pa.ChunkedArray:
    """Keys of the documents of a table that the other has not, or has otherwise: a key that was
    deleted can have been used again."""
    rows, known = (each.to_table(columns=[KEY, DOCUMENT]) for each in (table, other))
    content, known_content = map(_content, (rows, known))
    return rows[KEY].filter(pc.invert(pc.is_in(content, known_content.combine_chunks())))


def _content(rows: pa.Table) -> pa.ChunkedArray:
    options = {"null_handling": "replace", "null_replacement": ""}
    return pc.binary_join_element_wise(rows[KEY], rows[DOCUMENT], " ", **options)


def _conditions(keys: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(keys), _KEYS_A_CONDITION):
        yield f"{KEY} IN ({quote_all(keys[start : start + _KEYS_A_CONDITION])})"


def _paths(settings: Settings) -> tuple[Path, Path]:
    """The live table and the one that is built."""
    live = Tables(_folder(settings)).path(settings.space)
    assert live is not None
    return live, live.with_name(f"rebuilt-{settings.space}.lance")


def _folder(settings: Settings) -> Path:
    """Where the index lies. Raises InvalidInput INDEX_NOT_LOCAL for an object store."""
    url = settings.index_url.removeprefix("file://")
    if "://" in url:
        raise InvalidInput("INDEX_NOT_LOCAL", "Only an index in a folder can be embedded anew.")
    return Path(url) if url else settings.data_dir / "lancedb"


def main() -> int:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    builder = steps.add_parser("build", help="embed, beside the live table")
    builder.add_argument("--workers", type=int, default=2, help="processes that embed")
    builder.add_argument("--address", help="of a Ray cluster; without it, this machine")
    steps.add_parser("swap", help="replace the live table; the server is stopped")
    options = parser.parse_args()
    settings = load_settings()
    try:
        if options.step == "build":
            count = build(settings, options.workers, options.address)
            print(f"{count} documents embedded; stop the server and run swap")
        else:
            added, deleted = asyncio.run(swap(settings))
            print(f"swapped; since the build {added} added, {deleted} deleted")
    except SensoriumError as error:
        print(f"reindex: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
