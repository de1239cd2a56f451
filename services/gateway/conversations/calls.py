"""The calls about conversations, as the contract has them."""

import base64
import binascii

from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.catalogue import find_assets_by_id
from services.gateway.conversations.details import restored_details
from services.gateway.conversations.records import (
    NAME_CHARACTERS_MAX,
    ConversationRecord,
    TurnRecord,
)
from services.gateway.conversations.remembering import Conversations
from services.gateway.stages import Stages
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput

PAGE_SIZE = 100
CONVERSATIONS_A_PAGE_MAX = 1000
TURNS_A_PAGE_MAX = 100
PAGE_BYTES_MAX = 3 << 20
"""Of the turns of one response, which is at most 4 MiB."""


class ConversationCalls:
    """Makes, lists, reads, renames and deletes conversations. Each call raises Unavailable
    DATABASE_UNAVAILABLE, and those about one NotFound CONVERSATION_NOT_FOUND."""

    def __init__(self, stages: Stages, conversations: Conversations) -> None:
        self._stages = stages
        self._conversations = conversations
        self._store = conversations.store

    async def create(
        self, scope: CallScope, request: gateway_pb2.CreateConversationRequest
    ) -> gateway_pb2.CreateConversationResponse:
        """A new conversation. Raises InvalidInput NAME_INVALID."""
        name = _name(request.name) if request.name else ""
        record = await self._store.create(scope.tenant_id, name)
        return gateway_pb2.CreateConversationResponse(conversation=_conversation(record))

    async def list(
        self, scope: CallScope, request: gateway_pb2.ListConversationsRequest
    ) -> gateway_pb2.ListConversationsResponse:
        """A page of conversations. Raises InvalidInput PAGE_TOKEN_INVALID."""
        count = _page_size(request.page_size, CONVERSATIONS_A_PAGE_MAX)
        after = None
        if request.page_token:
            time_us, _, last_id = _read_token(request.page_token).partition(" ")
            after = (_number(time_us), last_id)
        records = await self._store.list(scope.tenant_id, count + 1, after)
        page = gateway_pb2.ListConversationsResponse(
            conversations=map(_conversation, records[:count])
        )
        if len(records) > count:
            last = records[count - 1]
            page.next_page_token = _token(f"{last.update_time_us} {last.conversation_id}")
        return page

    async def get(
        self, scope: CallScope, request: gateway_pb2.GetConversationRequest
    ) -> gateway_pb2.GetConversationResponse:
        """A conversation and a page of its turns. Raises InvalidInput PAGE_TOKEN_INVALID."""
        count = _page_size(request.page_size, TURNS_A_PAGE_MAX)
        after = _number(_read_token(request.page_token)) if request.page_token else 0
        record, turns = await self._store.turns(
            scope.tenant_id,
            request.conversation_id,
            count + 1,
            after,
            newest_first=request.newest_first,
            with_evidence=request.with_weights,
        )
        named = {asset_id for turn in turns for asset_id in turn.asset_ids}
        used = {each.asset_id for turn in turns for each in (*turn.citations, *turn.evidence)}
        # One that is just being deleted may still be named.
        stored = await find_assets_by_id(self._stages, scope, sorted(named | used))
        page = gateway_pb2.GetConversationResponse(conversation=_conversation(record))
        size_bytes = 0
        for turn in turns[:count]:
            message = _turn(turn, frozenset(stored))
            size_bytes += message.ByteSize()
            if page.turns and size_bytes > PAGE_BYTES_MAX:
                break
            page.turns.append(message)
        if len(page.turns) < len(turns):
            page.next_page_token = _token(str(page.turns[-1].number))
        return page

    async def update(
        self, scope: CallScope, request: gateway_pb2.UpdateConversationRequest
    ) -> gateway_pb2.UpdateConversationResponse:
        """Rename. Raises InvalidInput NAME_INVALID."""
        record = await self._store.rename(
            scope.tenant_id, request.conversation_id, _name(request.name)
        )
        return gateway_pb2.UpdateConversationResponse(conversation=_conversation(record))

    async def delete(
        self, scope: CallScope, request: gateway_pb2.DeleteConversationRequest
    ) -> gateway_pb2.DeleteConversationResponse:
        """Delete a conversation and its turns, not its media."""
        await self._store.delete(scope.tenant_id, request.conversation_id)
        self._conversations.threads.forget(scope.tenant_id, request.conversation_id)
        return gateway_pb2.DeleteConversationResponse()


def _name(name: str) -> str:
    name = " ".join(name.replace("\0", "").split())
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise InvalidInput(
            "NAME_INVALID",
            f"The name of a conversation has 1 to {NAME_CHARACTERS_MAX} characters.",
            subject="name",
        )
    return name


def _page_size(asked: int, at_most: int) -> int:
    return min(asked or PAGE_SIZE, at_most)


def _token(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeError):
        raise _token_invalid() from None


def _number(digits: str) -> int:
    # As many as a database's largest number has.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise _token_invalid()
    return int(digits)


def _token_invalid() -> InvalidInput:
    return InvalidInput(
        "PAGE_TOKEN_INVALID",
        "The page token is not one that this server gave; begin at the first page.",
        subject="page_token",
    )


def _conversation(record: ConversationRecord) -> gateway_pb2.Conversation:
    return gateway_pb2.Conversation(
        conversation_id=record.conversation_id,
        name=record.name,
        create_time=_time(record.create_time_us),
        update_time=_time(record.update_time_us),
        turn_count=record.turn_count,
    )


def _turn(record: TurnRecord, stored: frozenset[str]) -> gateway_pb2.ConversationTurn:
    turn = restored_details(record, stored)
    turn.number = record.number
    turn.question = record.question
    turn.answer = record.answer
    turn.asset_ids.extend(asset_id for asset_id in record.asset_ids if asset_id in stored)
    turn.finish_reason = gateway_pb2.TurnFinishReason.ValueType(record.finish_reason)
    turn.create_time.FromMicroseconds(record.create_time_us)
    turn.complete_time.FromMicroseconds(record.complete_time_us)
    return turn


def _time(time_us: int) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(time_us)
    return time
