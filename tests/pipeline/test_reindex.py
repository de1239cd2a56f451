"""The index embedded anew on a local Ray, beside a live table, and put in its place."""

import asyncio
import dataclasses
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from services.search.filters import Scope
from services.search.mixing import WeightedText, WeightedVector
from services.search.query import Query
from services.search.record import Record
from tests.pipeline.platform import Platform
from tests.unit.search.builders import Index, open_index, record

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lance_ray") is None,
    reason="Ray is not installed: pip install --no-deps -r deploy/ray/requirements.txt",
)

SPACE = "minilm-efficientnet-2"
JOB = Path(__file__).parents[2] / "deploy" / "ray" / "reindex.py"
ROW_COUNT = 3000
PICTURES = range(0, ROW_COUNT, 100)


def document(number: int) -> Record:
    """A document with a vector that has nothing to do with its words; every hundredth has none."""
    random = np.random.default_rng(number).normal(size=768).astype(np.float32)
    made = record(
        f"asset{number // 10}/text/{number}",
        tenant_id=f"tenant{number % 2}",
        asset_id=f"asset{number // 10}",
        text="" if number in PICTURES else f"The harbour master counted {number} boats.",
    )
    return dataclasses.replace(made, vector=random / np.linalg.norm(random))


async def write(index: Index, numbers: range) -> None:
    refusals = await index.writer.write(SPACE, [document(number) for number in numbers])
    assert not any(refusals)


async def reindex(data_dir: Path, *arguments: str) -> tuple[int | None, str]:
    """Exit code and output of the job, run as a user would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(JOB), *arguments),
        env={**os.environ, "SENSORIUM_DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.timeout(240)
async def test_every_document_is_embedded_as_online_and_none_is_lost(
    platform: Platform, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    async with open_index(data_dir / "lancedb") as index:
        await write(index, range(ROW_COUNT))
        code, out = await reindex(data_dir, "build", "--workers", "2")
        assert code == 0, out
        assert f"{ROW_COUNT} documents" in out
        # Meanwhile life goes on.
        await write(index, range(ROW_COUNT, ROW_COUNT + 20))
        assert await index.writer.delete(Scope("tenant1", asset_ids=("asset7",))) == 5
        renewed = dataclasses.replace(document(11), text="The key of eleven was used again.")
        assert await index.writer.write(SPACE, [renewed]) == [None]
        expected = await index.searcher.count("tenant0"), await index.searcher.count("tenant1")
        code, out = await reindex(data_dir, "swap")
        assert (code, "A server writes the index" in out) == (1, True), out

    code, out = await reindex(data_dir, "swap")
    assert code == 0, out
    assert "21 added, 6 deleted" in out

    async with open_index(data_dir / "lancedb") as index:
        assert await index.tables.spaces() == [SPACE]
        counts = await index.searcher.count("tenant0"), await index.searcher.count("tenant1")
        assert counts == expected
        for number in (3, 1234, ROW_COUNT + 7):
            wanted = document(number)
            online = await platform.encode.text.run(wanted.text)
            query = Query(Scope(wanted.tenant_id), [WeightedVector(online)], top_k=3)
            best = (await index.searcher.search(SPACE, query))[0].record
            assert best.document_id == wanted.document_id
            assert float(best.vector @ online) > 0.999
            for name in Record.__slots__:
                if name != "vector":
                    assert getattr(best, name) == getattr(wanted, name), name
        again = await index.searcher.list_assets(SPACE, "tenant1", [renewed.asset_id])
        assert [each.text for each in again if each.key == renewed.key] == [renewed.text]
        picture = document(200)
        kept = await index.searcher.list_assets(SPACE, "tenant0", [picture.asset_id])
        assert any(np.allclose(each.vector, picture.vector) for each in kept)
        words = await index.searcher.search(
            SPACE, Query(Scope("tenant0"), texts=[WeightedText("counted 1234 boats")], top_k=1)
        )
        assert words[0].record.document_id == document(1234).document_id
