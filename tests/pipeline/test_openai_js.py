"""OpenAI's JavaScript client, unchanged, by a Node script on the running platform."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sensorium_client.samples import Samples

from tests.pipeline.platform import Platform

FOLDER = Path(__file__).parent / "openai_js"
FREE_WITHIN_S = 10.0


@pytest.fixture
def node() -> str:
    """Node, with the client beside the script."""
    found = shutil.which("node")
    if not found:
        pytest.skip("node is not installed")
    if not (FOLDER / "node_modules" / "openai").is_dir():
        pytest.skip("OpenAI's JavaScript client is not installed: see `make test`")
    return found


def words(told: dict[str, Any]) -> str:
    return " ".join(piece["text"] for piece in told["evidence"]).lower()


async def test_a_photo_a_recording_and_a_film_from_javascript(
    node: str, platform: Platform, samples: Samples
) -> None:
    model = platform.settings.language_model
    files = (samples.photo, samples.recording, samples.film)
    process = await asyncio.create_subprocess_exec(
        node,
        FOLDER / "ask.mjs",
        f"{platform.http_url}/v1",
        model,
        *files,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    for answer in (seen["whole"], seen["streamed"]):
        assert answer["finish_reason"] in ("stop", "length")
        assert answer["usage"]["completion_tokens"] > 0
        assert "cat" in words(answer["sensorium"])
        assert "captain" in words(answer["sensorium"])
        assert len(answer["sensorium"]["assets"]) == 3
    assert seen["whole"]["message"]["content"].strip()
    assert seen["streamed"]["text"].strip()
    assert "Paris" in seen["helper"]
    assert seen["refused"] == {
        "raised": "BadRequestError",
        "status": 400,
        "code": "PARAM_UNSUPPORTED",
        "param": "n",
    }
    assert seen["unknown"]["raised"] == "NotFoundError"
    assert seen["unknown"]["param"] == "model"
    assert model in seen["models"]
    # It broke off in the middle of a story.
    await platform.at_rest(FREE_WITHIN_S)
