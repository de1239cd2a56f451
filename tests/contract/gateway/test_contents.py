"""Words and pictures that are looked at and not kept: vectors and judgements, input by input."""

import io

import numpy as np
import pytest
from PIL import Image
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.embedding import embed
from services.gateway.judging import judge_contents
from services.gateway.policy import FLAGGED_FROM, Action, Policy, Rule
from services.runtime.calls import call_unary
from services.runtime.errors import LimitExceeded, SensoriumError
from tests.contract.gateway.conftest import SCOPE, World
from tests.fakes import fake_vector


def picture(width_px: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width_px, 30), "teal").save(file, "PNG")
    return file.getvalue()


def words(text: str) -> gateway_pb2.Content:
    return gateway_pb2.Content(text=text)


def shown(media: bytes) -> gateway_pb2.Content:
    return gateway_pb2.Content(media=media)


def vector_of(embedding: media_pb2.Embedding) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.frombuffer(embedding.data, "<f4")


async def test_vectors_come_in_the_order_of_the_inputs(world: World) -> None:
    inputs = [words("a red boat"), shown(picture()), words("rain"), shown(picture(50))]
    response = await embed(world.stages, SCOPE, gateway_pb2.EmbedRequest(inputs=inputs))
    red_boat, teal, rain, wide = map(vector_of, response.embeddings)
    np.testing.assert_allclose(red_boat, fake_vector("a red boat"), atol=1e-6)
    np.testing.assert_allclose(rain, fake_vector("rain"), atol=1e-6)
    # The fake sees a cat in every picture.
    np.testing.assert_allclose(teal, wide, atol=1e-6)
    assert np.linalg.norm(teal) == pytest.approx(1, abs=1e-5)


async def test_nothing_of_it_is_stored(world: World) -> None:
    request = gateway_pb2.EmbedRequest(inputs=[shown(picture()), words("x")])
    await embed(world.stages, SCOPE, request)
    page = await call_unary(world.stages.ingest.ListAssets, ingest_pb2.ListAssetsRequest(), SCOPE)
    assert not page.assets


@pytest.mark.parametrize(
    "inputs, reason, subject",
    [
        ([], "INPUTS_MISSING", "inputs"),
        ([words("x")] * 257, "TOO_MANY_INPUTS", "inputs"),
        ([words("x"), words(" ")], "INPUT_EMPTY", "inputs[1]"),
        ([words("x"), gateway_pb2.Content()], "INPUT_EMPTY", "inputs[1]"),
        ([words("x" * 4001)], "TEXT_TOO_LONG", "inputs[0].text"),
        (
            [words("x"), shown(b"no picture at all \x00\x01")],
            "UNSUPPORTED_MEDIA",
            "inputs[1].media",
        ),
        ([shown(picture()[:60])], "MEDIA_TRUNCATED", "inputs[0].media"),
        ([words("x"), shown(b"plain words in a file")], "NO_PICTURE", "inputs[1].media"),
    ],
)
async def test_a_bad_input_is_named(
    world: World, inputs: list[gateway_pb2.Content], reason: str, subject: str
) -> None:
    with pytest.raises(SensoriumError) as caught:
        await embed(world.stages, SCOPE, gateway_pb2.EmbedRequest(inputs=inputs))
    assert (caught.value.reason, caught.value.subject) == (reason, subject)


async def test_pictures_together_have_a_limit(world: World) -> None:
    request = gateway_pb2.EmbedRequest(inputs=[shown(bytes(2 << 20))] * 2)
    with pytest.raises(LimitExceeded) as caught:
        await embed(world.stages, SCOPE, request)
    assert caught.value.reason == "MEDIA_TOO_LARGE"


async def judged(
    world: World, policy: Policy, *inputs: gateway_pb2.Content
) -> list[dict[str, tuple[float, bool]]]:
    request = gateway_pb2.ModerateRequest(inputs=inputs)
    response = await judge_contents(world.stages, SCOPE, request, policy)
    return [
        {
            each.score.category: (round(each.score.score, 3), each.flagged)
            for each in judgement.categories
        }
        for judgement in response.judgements
    ]


async def test_without_a_policy_what_is_more_likely_than_not_is_flagged(world: World) -> None:
    assert 0.2 < FLAGGED_FROM < 0.9
    rude, kind, seen = await judged(world, Policy(), words("rude"), words("hi"), shown(picture()))
    assert rude == {"toxic": (0.9, True), "insult": (0.2, False)}
    assert kind == {"toxic": (0.1, False), "insult": (0.2, False)}
    assert seen == {"sexual": (0.1, False)}


async def test_a_policy_says_what_is_flagged(world: World) -> None:
    policy = Policy(
        input={
            "toxic": Rule(Action.ALLOW, 0.1),
            "insult": Rule(Action.FLAG, 0.15),
            "sexual": Rule(Action.BLOCK, 0.05),
        }
    )
    rude, seen = await judged(world, policy, words("rude"), shown(picture()))
    assert rude == {"toxic": (0.9, False), "insult": (0.2, True)}
    assert seen == {"sexual": (0.1, True)}


async def test_the_worst_part_of_a_long_text_counts(world: World) -> None:
    [found] = await judged(world, Policy(), words("kind " * 2000 + "rude " + "kind " * 2000))
    assert found["toxic"] == (0.9, True)
