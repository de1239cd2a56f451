"""Conversations that the server keeps, and the client's calls about them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from sensorium.gateway.v1 import gateway_pb2

from sensorium_client import decode, events
from sensorium_client.calls import GatewayCalls


@dataclass(frozen=True)
class StoredConversation:
    """A conversation without its turns; times in seconds since 1970."""

    conversation_id: str
    name: str
    create_time_s: float
    update_time_s: float
    turn_count: int


@dataclass(frozen=True)
class StoredTurn:
    """A turn that was answered; times in seconds since 1970."""

    number: int
    question: str
    answer: str
    asset_ids: tuple[str, ...]
    """Those that came with it or were named in it and are still stored."""
    citations: tuple[events.Citation, ...]
    finish_reason: str
    create_time_s: float
    complete_time_s: float


class ConversationCalls(GatewayCalls):
    """Makes, lists, reads, renames and deletes lasting conversations.

    ``Client.ask`` and ``Client.converse`` continue one by its id.
    """

    async def create_conversation(self, name: str = "") -> StoredConversation:
        """A new conversation; without a name it gets one from its first question."""
        request = gateway_pb2.CreateConversationRequest(name=name)
        response = await self._unary(self._stub.CreateConversation, request)
        return _conversation(response.conversation)

    async def list_conversations(
        self, page_size: int = 100
    ) -> AsyncGenerator[StoredConversation, None]:
        """All conversations, those last used first."""
        page_token = ""
        while True:
            request = gateway_pb2.ListConversationsRequest(
                page_size=page_size, page_token=page_token
            )
            response = await self._unary(self._stub.ListConversations, request)
            for conversation in response.conversations:
                yield _conversation(conversation)
            page_token = response.next_page_token
            if not page_token:
                return

    async def conversation_turns(
        self, conversation_id: str, *, newest_first: bool = False
    ) -> AsyncGenerator[StoredTurn, None]:
        """The turns of a conversation, in order unless the newest shall come first."""
        page_token = ""
        while True:
            request = gateway_pb2.GetConversationRequest(
                conversation_id=conversation_id, page_token=page_token, newest_first=newest_first
            )
            response = await self._unary(self._stub.GetConversation, request)
            for turn in response.turns:
                yield _turn(turn)
            page_token = response.next_page_token
            if not page_token:
                return

    async def get_conversation(self, conversation_id: str) -> StoredConversation:
        """One conversation. Raises with the reason CONVERSATION_NOT_FOUND if there is none."""
        request = gateway_pb2.GetConversationRequest(conversation_id=conversation_id, page_size=1)
        response = await self._unary(self._stub.GetConversation, request)
        return _conversation(response.conversation)

    async def rename_conversation(self, conversation_id: str, name: str) -> StoredConversation:
        """Give a conversation another name."""
        request = gateway_pb2.UpdateConversationRequest(conversation_id=conversation_id, name=name)
        response = await self._unary(self._stub.UpdateConversation, request)
        return _conversation(response.conversation)

    async def delete_conversation(self, conversation_id: str) -> None:
        """Delete a conversation and its turns; its media stays stored."""
        request = gateway_pb2.DeleteConversationRequest(conversation_id=conversation_id)
        await self._unary(self._stub.DeleteConversation, request)


def _conversation(message: gateway_pb2.Conversation) -> StoredConversation:
    return StoredConversation(
        conversation_id=message.conversation_id,
        name=message.name,
        create_time_s=decode.unix_seconds(message.create_time),
        update_time_s=decode.unix_seconds(message.update_time),
        turn_count=message.turn_count,
    )


def _turn(message: gateway_pb2.ConversationTurn) -> StoredTurn:
    return StoredTurn(
        number=message.number,
        question=message.question,
        answer=message.answer,
        asset_ids=tuple(message.asset_ids),
        citations=tuple(decode.citation(citation) for citation in message.citations),
        finish_reason=decode.finish_reason(message.finish_reason),
        create_time_s=decode.unix_seconds(message.create_time),
        complete_time_s=decode.unix_seconds(message.complete_time),
    )
