"""``/v1/conversations``: conversations that last, in the shape of OpenAI's."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict, Field
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.calls import GatewayCalls
from services.gateway.http.body.json_body import read_json
from services.gateway.http.chat.response import FINISH_REASONS, FinishReason, Usage, to_usage
from services.gateway.http.evidence import (
    Citation,
    Evidence,
    ModalityWeight,
    Timings,
    to_citation,
    to_evidence,
    to_gates,
    to_timings,
)
from services.gateway.http.front import FrontDep
from services.gateway.http.openapi import json_body
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema, Unsupported, Words, one_of
from services.runtime.calls import CallScope
from services.runtime.errors import NotFound

router = Router(prefix="/v1/conversations", tags=["conversations"])

CONVERSATIONS_A_PAGE_MAX = 1000
ITEMS_A_PAGE_MAX = 100

Order = Literal["asc", "desc"]
PageToken = Annotated[str, Query(max_length=256, pattern="^[A-Za-z0-9_-]*={0,2}$")]
"""What the page before told, or nothing."""
ITEM_ID = "^(msg_[1-9][0-9]{0,8}_(user|assistant))?$"


class ConversationMetadata(BaseModel, extra="forbid"):
    """What OpenAI's clients can tell of a conversation: here, its name."""

    name: str = Field("", max_length=200)


class ConversationFields(Schema):
    """What can be said of a conversation."""

    name: str = Field("", max_length=200)
    """For people; empty: made from the first question."""
    metadata: ConversationMetadata | None = None
    """The name in OpenAI's place for it."""
    items: Annotated[list[Any] | None, Unsupported] = Field(None, json_schema_extra={"maxItems": 0})
    """Only empty: what is in a conversation was asked and answered here."""


class OtherName(BaseModel, extra="forbid"):
    """Another name, in OpenAI's place for it."""

    name: Words = Field(max_length=200)


class ConversationChanges(Schema):
    """Another name, in one of the two places for it."""

    model_config = ConfigDict(json_schema_extra=one_of("name", "metadata"))

    # None of the two may be null.
    name: Words = Field(default_factory=str, max_length=200)
    metadata: OtherName = Field(default_factory=lambda: OtherName(name=""))


class ConversationObject(Schema):
    """A conversation without its turns."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    """Seconds since 1970."""
    updated_at: int
    """When its last turn ended, in seconds since 1970."""
    name: str
    turn_count: int
    metadata: dict[str, str]


class ConversationPage(Schema):
    """A page of conversations, those last used first."""

    object: Literal["list"] = "list"
    data: list[ConversationObject]
    has_more: bool
    next_page_token: str
    """Of the next page; empty on the last."""


class Turn(Schema):
    """A turn that was answered."""

    number: int
    """Its place in the conversation, counted from 1."""
    question: str
    answer: str
    asset_ids: list[str]
    """Assets that came with it or were named in it and are still stored."""
    citations: list[Citation]
    """What the answer rests on, but what has been deleted since."""
    evidence: list[Evidence]
    """What the answer was weighed from, but what has been deleted since: of more than 64 pieces or
    32 KiB the weightiest, in the order of the timeline. Empty unless ``with_evidence`` asks for
    it."""
    modality_weights: list[ModalityWeight]
    """With the evidence."""
    usage: Usage | None
    """What it took; null, as ``timings``, in turns of before this was kept."""
    media_bytes: int
    timings: Timings | None
    response_cached: bool
    """Whether the answer was given before, to the same question over the same evidence."""
    trace_id: str
    """Of ``/v1/traces``, as long as it is recent."""
    span_id: str
    """The turn's span in it."""
    finish_reason: FinishReason
    created_at: float
    """Seconds since 1970."""
    completed_at: float
    """Seconds since 1970."""


class ConversationWithTurns(ConversationObject):
    """A conversation and a page of its turns."""

    turns: list[Turn]
    next_page_token: str
    """Of the next page of turns; empty on the last."""


class ItemText(Schema):
    """The words of an item."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: list[str] = Field(default_factory=list)
    """Always empty: the citations are in ``turns`` of the conversation."""


class Item(Schema):
    """A question or an answer."""

    id: str
    type: Literal["message"] = "message"
    status: Literal["completed"] = "completed"
    role: Literal["user", "assistant"]
    content: list[ItemText]


class ItemPage(Schema):
    """A page of items."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ConversationDeleted(Schema):
    """A conversation is gone, with its turns; its media stays."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


@router.post("", openapi_extra=json_body(ConversationFields, required=False))
async def create_conversation(request: Request, front: FrontDep) -> ConversationObject:
    """Make a conversation. Chat completions continue it by ``sensorium.conversation_id``."""
    async with front.enter(request, "CreateConversation") as scope:
        fields = ConversationFields()
        if await request.body():
            fields = await read_json(request, ConversationFields)
        asked = gateway_pb2.CreateConversationRequest(name=_name(fields))
        made = await front.calls.conversations.create(scope, asked)
        return _conversation(made.conversation)


@router.get("")
async def list_conversations(
    request: Request,
    front: FrontDep,
    limit: Annotated[int, Query(ge=1, le=CONVERSATIONS_A_PAGE_MAX)] = 100,
    page_token: PageToken = "",
) -> ConversationPage:
    """The conversations, those last used first."""
    async with front.enter(request, "ListConversations") as scope:
        asked = gateway_pb2.ListConversationsRequest(page_size=limit, page_token=page_token)
        page = await front.calls.conversations.list(scope, asked)
        return ConversationPage(
            data=[_conversation(each) for each in page.conversations],
            has_more=bool(page.next_page_token),
            next_page_token=page.next_page_token,
        )


@router.get("/{conversation_id}")
async def get_conversation(
    conversation_id: str,
    request: Request,
    front: FrontDep,
    limit: Annotated[int, Query(ge=1, le=ITEMS_A_PAGE_MAX)] = 100,
    page_token: PageToken = "",
    order: Order = "asc",
    with_evidence: bool = False,
) -> ConversationWithTurns:
    """A conversation and its turns."""
    async with front.enter(request, "GetConversation") as scope:
        asked = gateway_pb2.GetConversationRequest(
            conversation_id=conversation_id,
            page_size=limit,
            page_token=page_token,
            newest_first=order == "desc",
            with_weights=with_evidence,
        )
        found = await front.calls.conversations.get(scope, asked)
        return ConversationWithTurns(
            **_conversation(found.conversation).model_dump(),
            turns=[_turn(each) for each in found.turns],
            next_page_token=found.next_page_token,
        )


@router.patch("/{conversation_id}", openapi_extra=json_body(ConversationChanges))
@router.post(
    "/{conversation_id}",
    operation_id="updateConversation",
    openapi_extra=json_body(ConversationChanges),
)
async def rename_conversation(
    conversation_id: str, request: Request, front: FrontDep
) -> ConversationObject:
    """Rename a conversation."""
    async with front.enter(request, "UpdateConversation") as scope:
        fields = await read_json(request, ConversationChanges)
        asked = gateway_pb2.UpdateConversationRequest(
            conversation_id=conversation_id, name=_name(fields)
        )
        updated = await front.calls.conversations.update(scope, asked)
        return _conversation(updated.conversation)


@router.delete("/{conversation_id}")
async def delete_conversation(
    conversation_id: str, request: Request, front: FrontDep
) -> ConversationDeleted:
    """Delete a conversation and its turns. The media stays: see ``/v1/files``."""
    async with front.enter(request, "DeleteConversation") as scope:
        asked = gateway_pb2.DeleteConversationRequest(conversation_id=conversation_id)
        await front.calls.conversations.delete(scope, asked)
        return ConversationDeleted(id=conversation_id)


@router.get("/{conversation_id}/items")
async def list_conversation_items(
    conversation_id: str,
    request: Request,
    front: FrontDep,
    limit: Annotated[int, Query(ge=1, le=ITEMS_A_PAGE_MAX)] = 20,
    after: Annotated[str, Query(pattern=ITEM_ID)] = "",
    order: Order = "desc",
) -> ItemPage:
    """The questions and answers of a conversation, each by itself."""
    async with front.enter(request, "GetConversation") as scope:
        passed = not after
        data: list[Item] = []
        async for item in _items(front.calls, scope, conversation_id, order):
            if passed:
                data.append(item)
            passed = passed or item.id == after
            if len(data) > limit:
                break
        if not passed:
            raise NotFound("ITEM_UNKNOWN", "There is no such item.", subject="after")
        page = data[:limit]
        return ItemPage(
            data=page,
            first_id=page[0].id if page else None,
            last_id=page[-1].id if page else None,
            has_more=len(data) > limit,
        )


async def _items(
    calls: GatewayCalls, scope: CallScope, conversation_id: str, order: Order
) -> AsyncIterator[Item]:
    page_token = ""
    while True:
        asked = gateway_pb2.GetConversationRequest(
            conversation_id=conversation_id, page_token=page_token, newest_first=order == "desc"
        )
        found = await calls.conversations.get(scope, asked)
        for turn in found.turns:
            said = list(_of_turn(turn))
            for item in said if order == "asc" else reversed(said):
                yield item
        page_token = found.next_page_token
        if not page_token:
            return


def _of_turn(turn: gateway_pb2.ConversationTurn) -> Iterator[Item]:
    yield Item(
        id=f"msg_{turn.number}_user",
        role="user",
        content=[ItemText(type="input_text", text=turn.question)],
    )
    yield Item(
        id=f"msg_{turn.number}_assistant",
        role="assistant",
        content=[ItemText(type="output_text", text=turn.answer)],
    )


def _name(fields: ConversationFields | ConversationChanges) -> str:
    return fields.name or (fields.metadata.name if fields.metadata else "")


def _conversation(message: gateway_pb2.Conversation) -> ConversationObject:
    return ConversationObject(
        id=message.conversation_id,
        created_at=message.create_time.seconds,
        updated_at=message.update_time.seconds,
        name=message.name,
        turn_count=message.turn_count,
        metadata={"name": message.name} if message.name else {},
    )


def _turn(message: gateway_pb2.ConversationTurn) -> Turn:
    return Turn(
        number=message.number,
        question=message.question,
        answer=message.answer,
        asset_ids=list(message.asset_ids),
        citations=[to_citation(each) for each in message.citations],
        evidence=[to_evidence(each) for each in message.weights.evidence],
        modality_weights=to_gates(message.weights),
        usage=to_usage(message.usage) if message.HasField("usage") else None,
        media_bytes=message.usage.media_bytes,
        timings=to_timings(message.timings) if message.HasField("timings") else None,
        response_cached=message.response_cached,
        trace_id=message.trace_id,
        span_id=message.span_id,
        finish_reason=FINISH_REASONS[message.finish_reason],
        created_at=_seconds(message.create_time),
        completed_at=_seconds(message.complete_time),
    )


def _seconds(time: Timestamp) -> float:
    return time.ToMicroseconds() / 1e6
