"""The searches of a client."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path

from sensorium.gateway.v1 import gateway_pb2

from sensorium_client import events, findings
from sensorium_client.calls import GatewayCalls, begin
from sensorium_client.duplex import DuplexCall
from sensorium_client.findings import NearDuplicate, SearchAnswer, SearchResult
from sensorium_client.searching import QueryPart, SearchOptions, SearchQuery


class SearchCalls(GatewayCalls, ABC):
    """What can be found, and by what."""

    @abstractmethod
    async def stored_asset_id(self, path: Path | str, language: str = "") -> str:
        """The id under which the server knows a file, sent first if it does not know it yet."""

    async def search(
        self,
        *,
        text: str = "",
        image: Path | str | None = None,
        audio: Path | str | None = None,
        asset_id: str = "",
        modalities: Iterable[str] = (),
        top_k: int = 10,
    ) -> tuple[SearchResult, ...]:
        """Find assets by exactly one of words, picture, sound, asset; ``find`` can do more."""
        part = QueryPart(text=text, file=image or audio, asset_id=asset_id)
        options = SearchOptions(modalities=tuple(modalities), top_k=top_k)
        return await self.find(SearchQuery((part,), options))

    async def find(self, query: SearchQuery) -> tuple[SearchResult, ...]:
        """Find the assets that match a query, best first, with the places where they do.

        Files of more than 3 MiB together are stored first and searched by their asset id.
        """
        request = await query.message(self.stored_asset_id)
        response = await self._unary(self._stub.Search, request)
        return findings.results(response)

    async def find_many(
        self, queries: Mapping[str, SearchQuery]
    ) -> AsyncGenerator[SearchAnswer | events.ItemFailed, None]:
        """Find for many queries on one stream: the answer to each, named by its key, as soon as
        it is ready. A bad query gives ``item_error`` with its key and the others go on."""
        opened = self._stub.StreamingSearch(metadata=self._metadata())
        call = DuplexCall(opened, findings.event)
        request = gateway_pb2.StreamingSearchRequest

        async def send() -> None:
            for query_id, query in queries.items():
                message = await query.message(self.stored_asset_id)
                tagged = gateway_pb2.TaggedSearch(query_id=query_id, request=message)
                await call.write(request(search=tagged))
            await call.done_writing()

        try:
            await begin(call, request(config=gateway_pb2.SearchConfig()))
            async with aclosing(call.events_while(send())) as stream:
                async for event in stream:
                    if isinstance(event, SearchAnswer | events.ItemFailed):
                        yield event
        finally:
            call.cancel()

    async def near_duplicates(
        self,
        file: Path | str | None = None,
        *,
        asset_id: str = "",
        hamming_distance_max: int = 8,
        top_k: int = 10,
    ) -> tuple[NearDuplicate, ...]:
        """Find stored pictures and videos that look like a file or a stored one, nearest first.

        ``hamming_distance_max`` is at most 16; 0 finds what was only encoded anew.
        """
        part = QueryPart(file=file, asset_id=asset_id)
        query = await SearchQuery((part,)).message(self.stored_asset_id)
        request = gateway_pb2.FindNearDuplicatesRequest(
            hamming_distance_max=hamming_distance_max, top_k=top_k
        )
        if query.parts[0].asset_id:
            request.asset_id = query.parts[0].asset_id
        else:
            request.media = query.parts[0].media
        response = await self._unary(self._stub.FindNearDuplicates, request)
        return tuple(findings.near_duplicate(found) for found in response.near_duplicates)
