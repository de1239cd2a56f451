"""What the index is asked for a search."""

import time

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.relevance import Sought
from services.gateway.search_query import SoughtPart, stage_query
from services.runtime.errors import InvalidInput

PART = SoughtPart(Sought.WORDS, 1.0, media_pb2.Embedding(), text="x")
NOW_S = int(time.time())


@pytest.mark.parametrize(
    ("age_s", "from_s", "expected_s"),
    [
        (86400, None, NOW_S - 86400),
        (86400, NOW_S - 3600, NOW_S - 3600),
        (86400, NOW_S - 172800, NOW_S - 86400),
        (0, NOW_S - 7200, NOW_S - 7200),
        (1 << 60, None, 0),
    ],
)
def test_the_later_of_age_and_time_counts(age_s: int, from_s: int | None, expected_s: int) -> None:
    request = gateway_pb2.SearchRequest(age_max=Duration(seconds=age_s))
    if from_s is not None:
        request.create_time_min.CopyFrom(Timestamp(seconds=from_s))
    query = stage_query(request, [PART])
    assert query.create_time_min.seconds == pytest.approx(expected_s, abs=3000)


def test_no_age_is_no_filter() -> None:
    request = gateway_pb2.SearchRequest(age_max=Duration())
    assert not stage_query(request, [PART]).HasField("create_time_min")


def test_an_age_that_cannot_be_is_refused() -> None:
    request = gateway_pb2.SearchRequest(age_max=Duration(seconds=-1))
    with pytest.raises(InvalidInput) as caught:
        stage_query(request, [PART])
    assert (caught.value.reason, caught.value.subject) == ("AGE_INVALID", "age_max")


def test_words_are_looked_for_twice_and_an_example_is_left_out() -> None:
    example = SoughtPart(Sought.PICTURE, 0.5, media_pb2.Embedding(), example="a")
    query = stage_query(gateway_pb2.SearchRequest(relevance_min=0.5), [PART, example])
    assert [(part.WhichOneof("part"), part.weight) for part in query.parts] == [
        ("embedding", 1.0),
        ("text", 1.0),
        ("embedding", 0.5),
    ]
    assert list(query.excluded_asset_ids) == ["a"]
    assert query.HasField("similarity_min")
