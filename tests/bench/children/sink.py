"""A bare grpc.aio server that reads the messages of an upload and drops them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from sensorium.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from sensorium.media.v1 import media_pb2

from services.runtime.channel import server_options

Response = ingest_pb2.StreamingIngestResponse


class Sink(ingest_pb2_grpc.IngestServiceServicer):
    """Answers the end mark of an asset, and nothing else."""

    async def StreamingIngest(
        self,
        request_iterator: AsyncIterator[ingest_pb2.StreamingIngestRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[Response]:
        """Drop everything."""
        async for request in request_iterator:
            if request.WhichOneof("message") == "asset_finish":
                yield Response(asset=media_pb2.Asset(asset_id=request.asset_finish.asset_id))


async def serve() -> None:
    """Listen, tell the port in a line, and end with standard input."""
    server = grpc.aio.server(options=server_options(1 << 20))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(Sink(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f'{{"port": {port}}}', flush=True)
    await asyncio.to_thread(os.read, sys.stdin.fileno(), 1)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve())
