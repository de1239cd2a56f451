"""Conversations in the database. The tenant is part of every statement."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, Table, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.conversations.records import (
    ConversationRecord,
    OfAsset,
    Recalled,
    TurnRecord,
    made_name,
)
from services.gateway.conversations.tables import (
    conversations,
    turn_assets,
    turn_citations,
    turn_evidence,
    turns,
)
from services.gateway.database.engine import Database
from services.runtime.errors import NotFound, OutOfOrder

BUSY_RETRY_AFTER_S = 1.0
EXCHANGES_RECALLED_MAX = 64
ASSETS_RECALLED_MAX = 32
"""As many as a turn may name."""

_RECORD = (
    conversations.c.conversation_id,
    conversations.c.name,
    conversations.c.create_time_us,
    conversations.c.update_time_us,
    conversations.c.turn_count,
)


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def busy() -> OutOfOrder:
    """The error of a second turn at the same time."""
    return OutOfOrder(
        "CONVERSATION_BUSY",
        "Another turn of this conversation is at work; ask again when it is over.",
        subject="conversation_id",
        retry_after_s=BUSY_RETRY_AFTER_S,
    )


class ConversationStore:
    """Reads and writes conversations. Every method raises Unavailable DATABASE_UNAVAILABLE, and
    those about one conversation NotFound CONVERSATION_NOT_FOUND."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, name: str) -> ConversationRecord:
        """A new conversation without turns."""
        time_us = now_us()
        record = ConversationRecord(f"conv_{uuid4().hex}", _plain(name), time_us, time_us, 0)
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(conversations).values(
                    tenant_id=tenant_id,
                    conversation_id=record.conversation_id,
                    name=record.name,
                    create_time_us=time_us,
                    update_time_us=time_us,
                    turn_count=0,
                )
            )
        return record

    async def list(
        self, tenant_id: str, count: int, after: tuple[int, str] | None = None
    ) -> Sequence[ConversationRecord]:
        """Those last used first; ``after`` is the update time and id of the last one known."""
        query = select(*_RECORD).where(conversations.c.tenant_id == tenant_id)
        if after:
            query = query.where(
                tuple_(conversations.c.update_time_us, conversations.c.conversation_id) < after
            )
        query = query.order_by(
            conversations.c.update_time_us.desc(), conversations.c.conversation_id.desc()
        ).limit(count)
        async with self._database.transaction() as connection:
            return [ConversationRecord(*row) for row in await connection.execute(query)]

    async def get(self, tenant_id: str, conversation_id: str) -> ConversationRecord:
        """One conversation."""
        async with self._database.transaction() as connection:
            return await _get(connection, tenant_id, conversation_id)

    async def turns(
        self,
        tenant_id: str,
        conversation_id: str,
        count: int,
        after: int,
        *,
        newest_first: bool,
        with_evidence: bool = False,
    ) -> tuple[ConversationRecord, Sequence[TurnRecord]]:
        """A conversation and at most ``count`` of its turns, from the one that comes after the
        one numbered ``after`` on; 0 means from the first, or the last where those come first."""
        async with self._database.transaction() as connection:
            record = await _get(connection, tenant_id, conversation_id)
            query = select(turns).where(turns.c.conversation_id == conversation_id).limit(count)
            if newest_first:
                query = query.where(turns.c.number < (after or record.turn_count + 1))
                query = query.order_by(turns.c.number.desc())
            else:
                query = query.where(turns.c.number > after).order_by(turns.c.number)
            rows = (await connection.execute(query)).all()
            numbers = [row.number for row in rows]
            assets = await _of_turns(connection, turn_assets, conversation_id, numbers)
            citations = await _of_turns(connection, turn_citations, conversation_id, numbers)
            weighed = numbers if with_evidence else ()
            evidence = await _of_turns(connection, turn_evidence, conversation_id, weighed)
        return record, [
            TurnRecord(
                question=row.question,
                answer=row.answer,
                asset_ids=tuple(each.asset_id for each in assets.get(row.number, ())),
                citations=tuple(
                    OfAsset(each.asset_id, each.citation) for each in citations.get(row.number, ())
                ),
                finish_reason=row.finish_reason,
                create_time_us=row.create_time_us,
                complete_time_us=row.complete_time_us,
                evidence=tuple(
                    OfAsset(each.asset_id, each.evidence) for each in evidence.get(row.number, ())
                ),
                details=row.details or b"",
                number=row.number,
            )
            for row in rows
        ]

    async def rename(self, tenant_id: str, conversation_id: str, name: str) -> ConversationRecord:
        """Give a conversation another name."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(conversations)
                .where(*_is(tenant_id, conversation_id))
                .values(name=_plain(name))
            )
            return await _get(connection, tenant_id, conversation_id)

    async def delete(self, tenant_id: str, conversation_id: str) -> None:
        """Delete a conversation and its turns."""
        async with self._database.transaction() as connection:
            gone = await connection.execute(
                delete(conversations).where(*_is(tenant_id, conversation_id))
            )
        if not gone.rowcount:
            raise _not_found()

    async def recall(self, tenant_id: str, conversation_id: str) -> Recalled:
        """What the next turn starts from."""
        said = (
            select(turns.c.question, turns.c.answer)
            .where(turns.c.conversation_id == conversation_id)
            .order_by(turns.c.number.desc())
            .limit(EXCHANGES_RECALLED_MAX)
        )
        shown = (
            select(turn_assets.c.asset_id)
            .where(turn_assets.c.conversation_id == conversation_id)
            .order_by(turn_assets.c.number.desc(), turn_assets.c.place.desc())
        )
        async with self._database.transaction() as connection:
            record = await _get(connection, tenant_id, conversation_id)
            exchanges = [(row.question, row.answer) for row in await connection.execute(said)]
            asset_ids = list(dict.fromkeys(row.asset_id for row in await connection.execute(shown)))
        return Recalled(
            record.turn_count,
            tuple(reversed(exchanges)),
            tuple(reversed(asset_ids[:ASSETS_RECALLED_MAX])),
        )

    async def append(
        self, tenant_id: str, conversation_id: str, turn_count: int, turn: TurnRecord
    ) -> None:
        """Store the next turn of a conversation that had ``turn_count`` when it began.

        Raises OutOfOrder CONVERSATION_BUSY where it has another number by now: another
        gateway answered a turn of it meanwhile.
        """
        key: dict[str, Any] = {"conversation_id": conversation_id, "number": turn_count + 1}
        async with self._database.transaction() as connection:
            # Compare and set: it also makes a second one wait until this one is committed.
            counted = await connection.execute(
                update(conversations)
                .where(*_is(tenant_id, conversation_id), conversations.c.turn_count == turn_count)
                .values(turn_count=turn_count + 1, update_time_us=turn.complete_time_us)
            )
            if not counted.rowcount:
                await _get(connection, tenant_id, conversation_id)
                raise busy()
            await connection.execute(
                update(conversations)
                .where(*_is(tenant_id, conversation_id), conversations.c.name == "")
                .values(name=_plain(made_name(turn.question)))
            )
            await connection.execute(
                insert(turns).values(
                    **key,
                    question=_plain(turn.question),
                    answer=_plain(turn.answer),
                    finish_reason=turn.finish_reason,
                    create_time_us=turn.create_time_us,
                    complete_time_us=turn.complete_time_us,
                    details=turn.details,
                )
            )
            key["tenant_id"] = tenant_id
            assets = [
                {**key, "place": place, "asset_id": asset_id}
                for place, asset_id in enumerate(turn.asset_ids)
            ]
            citations = [
                {**key, "place": place, "asset_id": each.asset_id, "citation": each.data}
                for place, each in enumerate(turn.citations)
            ]
            evidence = [
                {**key, "place": place, "asset_id": each.asset_id, "evidence": each.data}
                for place, each in enumerate(turn.evidence)
            ]
            for table, rows in (
                (turn_assets, assets),
                (turn_citations, citations),
                (turn_evidence, evidence),
            ):
                if rows:
                    await connection.execute(insert(table), rows)

    async def forget_asset(self, tenant_id: str, asset_id: str) -> None:
        """Have no turn name, cite or weigh an asset; what was said of it stays said."""
        async with self._database.transaction() as connection:
            for table in (turn_assets, turn_citations, turn_evidence):
                await connection.execute(
                    delete(table).where(
                        table.c.tenant_id == tenant_id, table.c.asset_id == asset_id
                    )
                )


def _is(tenant_id: str, conversation_id: str) -> tuple[Any, ...]:
    return (
        conversations.c.tenant_id == tenant_id,
        conversations.c.conversation_id == _plain(conversation_id),
    )


async def _get(
    connection: AsyncConnection, tenant_id: str, conversation_id: str
) -> ConversationRecord:
    query = select(*_RECORD).where(*_is(tenant_id, conversation_id))
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise _not_found()
    return ConversationRecord(*row)


async def _of_turns(
    connection: AsyncConnection, table: Table, conversation_id: str, numbers: Sequence[int]
) -> dict[int, list[Row[Any]]]:
    """The rows of some turns, in order, by the number of the turn."""
    if not numbers:
        return {}
    query = (
        select(table)
        .where(
            table.c.conversation_id == conversation_id,
            table.c.number.between(min(numbers), max(numbers)),
        )
        .order_by(table.c.number, table.c.place)
    )
    found: dict[int, list[Row[Any]]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.number, []).append(row)
    return found


def _not_found() -> NotFound:
    return NotFound(
        "CONVERSATION_NOT_FOUND", "There is no such conversation.", subject="conversation_id"
    )


def _plain(text: str) -> str:
    """Text that PostgreSQL takes: it has no character 0."""
    return text.replace("\0", "")
