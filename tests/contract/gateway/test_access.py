"""The door: nobody comes in without a credential, and nobody sees what is another tenant's."""

import asyncio
import json
import re
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import gateway_pb2_grpc
from sensorium_client import Client, Credentials, SensoriumClientError
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from services.gateway.access.key_check import LOOKUP_TTL_S
from services.gateway.access.keys import KeyGrant
from services.gateway.access.scopes import REQUIRED, Scope
from services.gateway.stages import SERVICES
from services.runtime.channel import open_channel
from tests.contract.gateway.guarded import (
    METHODS,
    Guarded,
    bearer,
    call,
    empty_request,
    serve_guarded,
)
from tests.contract.gateway.whole import refusal_of
from tests.pipeline.platform import until

SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUER, AUDIENCE = "https://id.example", "sensorium"
UNKNOWN_ID = "never-stored"


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    public = jwt.get_algorithm_by_name("RS256").to_jwk(SIGNER.public_key(), as_dict=True)
    keys_file = folder / "jwks.json"
    keys_file.write_text(json.dumps({"keys": [{**public, "kid": "k", "alg": "RS256"}]}))
    async with serve_guarded(
        folder, jwt_jwks_url=str(keys_file), jwt_issuer=ISSUER, jwt_audience=AUDIENCE
    ) as running:
        yield running


@pytest.fixture(scope="module")
async def channel(guarded: Guarded) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(guarded.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.aio.Channel) -> gateway_pb2_grpc.GatewayServiceStub:
    return gateway_pb2_grpc.GatewayServiceStub(channel)


@pytest.fixture(scope="module")
async def asset_id(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An asset of the tenant acme."""
    file = tmp_path_factory.mktemp("acme") / "harbour.txt"
    file.write_text("The harbour is closed at night.")
    key = await guarded.key("acme", user_id="ada")
    async with Client(guarded.address, Credentials(api_key=key)) as client:
        return await client.stored_asset_id(file)


def token(**changes: object) -> str:
    said: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "tenant": "acme",
        "scope": "read",
    }
    said |= {"exp": time.time() + 3600, **changes}
    return jwt.encode(said, SIGNER, "RS256", headers={"kid": "k"})


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_no_call_is_made_without_a_credential(
    stub: gateway_pb2_grpc.GatewayServiceStub, method: str
) -> None:
    refused = (await call(stub, method, [empty_request(method)])).refused
    assert refused
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "CREDENTIAL_MISSING")


@pytest.mark.parametrize(
    "method", sorted(name for name in METHODS if len(REQUIRED[name]) < len(Scope))
)
async def test_a_key_without_scopes_for_it_makes_no_call(
    guarded: Guarded, stub: gateway_pb2_grpc.GatewayServiceStub, method: str
) -> None:
    key = await guarded.key("acme", scopes=frozenset(Scope) - {*REQUIRED[method]})
    refused = (await call(stub, method, [empty_request(method)], bearer(key))).refused
    assert refused
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")


async def test_health_is_told_to_everybody(channel: grpc.aio.Channel) -> None:
    checks = health_pb2_grpc.HealthStub(channel)
    state = await checks.Check(health_pb2.HealthCheckRequest())
    assert state.status == health_pb2.HealthCheckResponse.SERVING


async def test_stages_are_reached_neither_by_the_public_port_nor_by_other_users(
    guarded: Guarded, channel: grpc.aio.Channel
) -> None:
    metadata = bearer(await guarded.key("acme", scopes=frozenset(Scope)))
    raw: Any = channel.unary_unary
    for stage, service in SERVICES.items():
        for method in ("GetAsset", "Encode", "Search", "DeleteDocuments", "StreamingGenerate"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await raw(f"/{service}/{method}")(b"", metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        address = getattr(guarded.settings, f"{stage}_address")
        folder = Path(address.removeprefix("unix:")).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_tenant_and_user_are_those_of_the_key_whatever_the_call_says(
    guarded: Guarded, stub: gateway_pb2_grpc.GatewayServiceStub, asset_id: str
) -> None:
    said = {"sensorium-tenant": "acme", "sensorium-user": "ada", "sensorium-forwarded": "1"}
    other = bearer(await guarded.key("other"), **said)
    page = await call(stub, "ListAssets", [pb.ListAssetsRequest()], other)
    assert page.messages == [pb.ListAssetsResponse()]
    eve = bearer(await guarded.key("acme", user_id="eve"), **said)
    found = await call(stub, "GetAsset", [pb.GetAssetRequest(asset_id=asset_id)], eve)
    assert found.messages[0].asset.user_id == "ada"


def converse(asset_id: str) -> list[Message]:
    request = pb.StreamingConverseRequest
    return [
        request(config=pb.ConverseConfig()),
        request(turn_id="t", text=pb.TextChunk(text="What is it?")),
        request(turn_id="t", end_turn=pb.EndTurn(asset_ids=[asset_id])),
    ]


NAMING: dict[str, Callable[[str], Iterable[Message]]] = {
    "StreamingConverse": converse,
    "Ask": lambda name: [pb.AskRequest(question="What is it?", asset_ids=[name])],
    "Caption": lambda name: [pb.CaptionRequest(asset_id=name)],
    "Transcribe": lambda name: [pb.TranscribeRequest(asset_id=name)],
    "Search": lambda name: [pb.SearchRequest(asset_id=name)],
    "StreamingSearch": lambda name: [
        pb.StreamingSearchRequest(config=pb.SearchConfig()),
        pb.StreamingSearchRequest(
            search=pb.TaggedSearch(query_id="q", request=pb.SearchRequest(asset_id=name))
        ),
    ],
    "FindNearDuplicates": lambda name: [pb.FindNearDuplicatesRequest(asset_id=name)],
    "FindAssets": lambda name: [pb.FindAssetsRequest(asset_ids=[name])],
    "GetAsset": lambda name: [pb.GetAssetRequest(asset_id=name)],
    "GetUpload": lambda name: [pb.GetUploadRequest(asset_id=name)],
    "DownloadAsset": lambda name: [pb.DownloadAssetRequest(asset_id=name)],
    "GetTranscript": lambda name: [pb.GetTranscriptRequest(asset_id=name)],
    "GetAssetUrl": lambda name: [pb.GetAssetUrlRequest(asset_id=name)],
    "GetThumbnail": lambda name: [pb.GetThumbnailRequest(asset_id=name)],
    "DeleteAsset": lambda name: [pb.DeleteAssetRequest(asset_id=name)],
}
"""How each call that names a stored asset names it."""
OWN_ASSETS_ONLY = {"StreamingUpload"}
"""Announces assets under ids of the client's own."""


def names_an_asset(message: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    return any(
        field.name in ("asset_id", "asset_ids")
        or (
            field.message_type is not None
            and field.message_type.full_name not in seen
            and names_an_asset(field.message_type, seen | {message.full_name})
        )
        for field in message.fields
    )


def test_the_list_of_calls_that_name_an_asset_is_whole() -> None:
    naming = {name for name, method in METHODS.items() if names_an_asset(method.input_type)}
    assert NAMING.keys() | OWN_ASSETS_ONLY == naming


@pytest.mark.parametrize("method", sorted(NAMING))
async def test_an_asset_of_another_tenant_is_like_one_that_never_was(
    guarded: Guarded, stub: gateway_pb2_grpc.GatewayServiceStub, asset_id: str, method: str
) -> None:
    metadata = bearer(await guarded.key("other", scopes=frozenset(Scope)))

    async def seen(name: str) -> str:
        answer = await call(stub, method, NAMING[method](name), metadata)
        # Ids of traces are new for each call.
        return re.sub(r"\b[0-9a-f]{32}\b", "", str(answer)).replace(name, "<asset>")

    foreign = await seen(asset_id)
    assert foreign == await seen(UNKNOWN_ID)
    assert "NOT_FOUND" in foreign or method in ("FindAssets", "StreamingSearch")
    assert "harbour" not in foreign
    # And it is still there for its own tenant.
    own = bearer(await guarded.key("acme"))
    kept = await call(stub, "GetAsset", [pb.GetAssetRequest(asset_id=asset_id)], own)
    assert kept.messages[0].asset.asset_id == asset_id


async def test_a_trace_shows_a_tenant_its_own_spans_only(
    guarded: Guarded, stub: gateway_pb2_grpc.GatewayServiceStub
) -> None:
    trace_id = secrets.token_hex(16)
    keys = {name: await guarded.key(name) for name in ("acme", "other")}

    async def spans(tenant: str) -> list[Any]:
        request = pb.GetTraceRequest(trace_id=trace_id)
        found = await call(stub, "GetTrace", [request], bearer(keys[tenant]))
        return list(found.messages[0].spans) if found.messages else []

    async def trace(tenant: str, parent_id: str) -> list[Any]:
        """The spans of a call in the trace, whose id and spans the client chooses."""
        metadata = bearer(keys[tenant], traceparent=f"00-{trace_id}-{parent_id}-01")
        await call(stub, "ListAssets", [pb.ListAssetsRequest()], metadata)

        async def whole() -> bool:
            return len(await spans(tenant)) == 3

        await until(whole, 30, "the spans of the call")
        return await spans(tenant)

    of_acme = await trace("acme", "1" * 16)
    # The call, the call of the stage, and the stage.
    assert [span.name.split("/")[0] for span in of_acme] == [
        "sensorium.gateway.v1.GatewayService",
        *["sensorium.ingest.v1.IngestService"] * 2,
    ]
    assert await spans("other") == []
    of_other = await trace("other", of_acme[0].span_id)
    assert {span.attributes["sensorium.tenant"] for span in of_other} == {"other"}
    assert await spans("acme") == of_acme


async def test_a_key_works_at_once_and_is_refused_soon_after_it_is_revoked(
    guarded: Guarded,
) -> None:
    record, key = await guarded.keys.create(KeyGrant("acme"))
    async with Client(guarded.address, Credentials(api_key=key)) as client:
        await client.find_assets(["0" * 64])
        await guarded.keys.revoke(record.key_id)
        deadline_s = time.monotonic() + LOOKUP_TTL_S + 30
        with pytest.raises(SensoriumClientError) as refused:
            while time.monotonic() < deadline_s:
                await client.find_assets(["0" * 64])
                await asyncio.sleep(0.1)
        assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", "KEY_REVOKED")


async def test_an_open_stream_answers_no_more_once_its_key_is_revoked(
    guarded: Guarded, stub: "gateway_pb2_grpc.GatewayServiceAsyncStub"
) -> None:
    record, key = await guarded.keys.create(KeyGrant("acme"))
    request = pb.StreamingConverseRequest
    open_call: Any = stub.StreamingConverse
    call = open_call(metadata=bearer(key))
    await call.write(request(config=pb.ConverseConfig()))

    async def ask(turn_id: str) -> None:
        await call.write(request(turn_id=turn_id, text=pb.TextChunk(text="What is it?")))
        await call.write(request(turn_id=turn_id, end_turn=pb.EndTurn()))
        async for event in call:
            if event.WhichOneof("event") == "turn_complete":
                return

    await ask("1")
    await ask("2")
    await guarded.keys.revoke(record.key_id)
    await asyncio.sleep(LOOKUP_TTL_S)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask("3")
    assert refusal_of(refused.value).reason == "KEY_REVOKED"


def none_signed() -> str:
    said = token().split(".")[1]
    return f"eyJhbGciOiJub25lIiwia2lkIjoiayJ9.{said}."


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        ("", "CREDENTIAL_MISSING"),
        (f"sk-sensorium-{'0' * 12}-{'0' * 64}", "KEY_UNKNOWN"),
        (none_signed(), "TOKEN_ALGORITHM_REFUSED"),
        (token(exp=time.time() - 3600), "TOKEN_EXPIRED"),
        (token(aud="other"), "TOKEN_AUDIENCE_WRONG"),
    ],
)
async def test_both_doors_refuse_the_same_and_say_why(
    guarded: Guarded, stub: gateway_pb2_grpc.GatewayServiceStub, credential: str, reason: str
) -> None:
    tried = await call(stub, "ListAssets", [pb.ListAssetsRequest()], bearer(credential))
    refused = tried.refused
    assert refused
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", reason)
    async with httpx2.AsyncClient(base_url=guarded.http_url) as client:
        answer = await client.get(
            "/v1/models", headers={"authorization": f"Bearer {credential}".strip()}
        )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == reason


async def test_a_key_and_a_token_open_both_doors(
    guarded: Guarded, stub: gateway_pb2_grpc.GatewayServiceStub, asset_id: str
) -> None:
    async with httpx2.AsyncClient(base_url=guarded.http_url) as client:
        for credential in (await guarded.key("acme"), token()):
            page = await call(stub, "ListAssets", [pb.ListAssetsRequest()], bearer(credential))
            assert [asset.asset_id for asset in page.messages[0].assets] == [asset_id]
            headers = {"authorization": f"Bearer {credential}"}
            assert (await client.get("/v1/models", headers=headers)).status_code == 200
        headers = {"authorization": f"Bearer {token(scope='write')}"}
        refused = await client.get("/v1/models", headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "SCOPE_MISSING"


@pytest.mark.parametrize("name", ["api_key", "key", "access_token", "Token"])
async def test_a_key_in_a_url_is_refused_and_never_logged(
    guarded: Guarded, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = await guarded.key("acme")
    socket_url = guarded.http_url.replace("http", "ws", 1) + "/v1/converse"
    with caplog.at_level("INFO"):
        async with httpx2.AsyncClient(base_url=guarded.http_url) as client:
            headers = {"authorization": f"Bearer {key}"}
            answer = await client.get(f"/v1/models?{name}={key}", headers=headers)
        async with connect(f"{socket_url}?{name}={key}") as socket:
            told = json.loads(await socket.recv())
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("CREDENTIAL_IN_URL", name)
    assert told["error"]["reason"] == "CREDENTIAL_IN_URL"
    # The client's own library logs what it asks for.
    served = [record for record in caplog.records if not record.name.startswith("httpx2")]
    assert key not in "\n".join([answer.text, *(record.getMessage() for record in served)])


async def test_a_socket_of_a_browser_brings_its_key_as_a_subprotocol(guarded: Guarded) -> None:
    url = guarded.http_url.replace("http", "ws", 1) + "/v1/converse"
    offered = [Subprotocol("sensorium.converse.v1")]
    async with connect(url, subprotocols=offered) as socket:
        refused = json.loads(await socket.recv())
    assert refused["error"]["reason"] == "CREDENTIAL_MISSING"
    offered.append(Subprotocol(f"sensorium.key.{await guarded.key('acme')}"))
    async with connect(url, subprotocols=offered) as socket:
        # The key is not sent back.
        assert socket.subprotocol == "sensorium.converse.v1"
        await socket.send(json.dumps({"config": {}}))
        assert "ready" in json.loads(await socket.recv())


async def test_a_path_with_an_id_of_another_tenant_is_like_one_that_never_was(
    guarded: Guarded, asset_id: str
) -> None:
    own = {"authorization": f"Bearer {await guarded.key('acme')}"}
    other = {"authorization": f"Bearer {await guarded.key('other')}"}
    async with httpx2.AsyncClient(base_url=guarded.http_url) as client:
        made = await client.post("/v1/conversations", headers=own, json={})
        ids = {"file_id": asset_id, "conversation_id": made.json()["id"]}
        ids["trace_id"] = made.headers["x-request-id"]

        async def seen(method: str, path: str, identifier: str) -> tuple[int, str]:
            body: dict[str, str] | None = {} if method in ("post", "patch") else None
            url = re.sub(r"{\w+}", identifier, path)
            answer = await client.request(method, url, headers=other, json=body)
            return answer.status_code, answer.text.replace(identifier, "<id>")

        paths = (await client.get("/openapi.json")).json()["paths"]
        naming = {path: name for path in paths for name in ids if f"{{{name}}}" in path}
        assert {"/v1/files/{file_id}/content", "/v1/conversations/{conversation_id}"} < {*naming}
        for path, name in naming.items():
            for method in paths[path]:
                foreign = await seen(method, path, ids[name])
                assert foreign == await seen(method, path, secrets.token_hex(16)), (method, path)
                assert foreign[0] in (400, 404), (method, path, foreign)
        kept = await client.get(f"/v1/files/{asset_id}", headers=own)
        assert kept.status_code == 200
