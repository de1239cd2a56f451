"""What the fake gateway finds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import gateway_pb2_grpc
from sensorium.media.v1 import evidence_pb2, stream_pb2

from tests.unit.client.fake_messages import HARBOUR, TRACE_ID, Context, locator


@dataclass
class Searches(gateway_pb2_grpc.GatewayServiceServicer):
    """Finds a film, whatever is looked for."""

    searches: list[pb.SearchRequest] = field(default_factory=list)

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        """One hit."""
        self.searches.append(request)
        return pb.SearchResponse(
            results=[
                pb.SearchResult(
                    asset=HARBOUR,
                    matches=[
                        pb.SearchMatch(
                            locator=locator(3.5, 5.0),
                            preview_text="a red lighthouse",
                            origin=evidence_pb2.EVIDENCE_ORIGIN_LABEL,
                            similarity=0.5,
                            relevance=0.875,
                            score=0.75,
                            thumbnail_jpeg=b"jpeg" if request.thumbnails else b"",
                        )
                    ],
                    relevance=0.875,
                    score=0.75,
                )
            ]
        )

    async def StreamingSearch(
        self, requests: AsyncIterator[pb.StreamingSearchRequest], context: Context
    ) -> AsyncIterator[pb.StreamingSearchResponse]:
        """One hit for each search; one with an offset fails."""
        response = pb.StreamingSearchResponse
        async for message in requests:
            if message.HasField("config"):
                yield response(ready=pb.SearchReady(trace_id=TRACE_ID))
            elif message.search.request.offset:
                error = stream_pb2.StreamError(code=3, reason="OFFSET_TOO_LARGE", message="No.")
                failed = stream_pb2.ItemError(item_id=message.search.query_id, error=error)
                yield response(item_error=failed)
            else:
                found = await self.Search(message.search.request, context)
                answer = pb.TaggedResult(query_id=message.search.query_id, response=found)
                yield response(result=answer)
        yield response(summary=pb.SearchSummary(query_count=1))

    async def FindNearDuplicates(
        self, request: pb.FindNearDuplicatesRequest, context: Context
    ) -> pb.FindNearDuplicatesResponse:
        """One film."""
        alike = pb.LookAlike(locator=locator(1.0, 1.0), hamming_distance=2)
        duplicate = pb.NearDuplicate(asset=HARBOUR, look_alikes=[alike], hamming_distance=2)
        return pb.FindNearDuplicatesResponse(near_duplicates=[duplicate])
