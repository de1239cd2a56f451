"""API keys: made, found again by their id, revoked. Of the secret only a hash is kept."""

import contextlib
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from services.gateway.access.principal import Principal
from services.gateway.access.scopes import Scope
from services.gateway.access.tables import api_keys
from services.gateway.database.engine import Database
from services.runtime.calls import check_tenant, check_user
from services.runtime.errors import InvalidInput, NotFound, Unavailable
from services.runtime.priority import Priority

KEY_PREFIX = "sk-sensorium-"
NAME_CHARACTERS_MAX = 128
RETRY_AFTER_S = 1.0

_ID_BYTES = 6
_SECRET_BYTES = 32
_KEY = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{{2 * _ID_BYTES}}})-([0-9a-f]{{{2 * _SECRET_BYTES}}})")


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What a new key is for."""

    tenant_id: str
    user_id: str = ""
    """Whom it acts for; empty: nobody in particular."""
    scopes: frozenset[Scope] = frozenset(Scope) - {Scope.ADMIN, Scope.OPERATE}
    priority: Priority = Priority.NORMAL
    name: str = ""
    """For people, to know it by."""
    expire_time_s: float | None = None
    """Seconds since 1970; None: it does not expire."""


def grant_of(fields: Mapping[str, object]) -> KeyGrant:
    """A grant of values as a person types them. Raises InvalidInput FIELD_INVALID."""
    try:
        return TypeAdapter(KeyGrant).validate_python(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem["loc"][0])
        raise InvalidInput("FIELD_INVALID", f"{field}: {problem['msg']}.", subject=field) from None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored. Times are seconds since 1970."""

    key_id: str
    secret_sha256: str
    grant: KeyGrant
    create_time_s: float
    revoke_time_s: float | None = None

    @property
    def shown(self) -> str:
        """The part of the key that may be shown, to recognise it by."""
        return f"{KEY_PREFIX}{self.key_id}-..."

    @property
    def principal(self) -> Principal:
        """Who calls with it."""
        grant = self.grant
        return Principal(grant.tenant_id, grant.user_id, grant.scopes, grant.priority, self.key_id)

    def has_secret(self, secret: str) -> bool:
        """Whether that is its secret; takes as long for a wrong one."""
        return hmac.compare_digest(self.secret_sha256, _sha256(secret))


def split_key(key: str) -> tuple[str, str] | None:
    """Id and secret of a key; None for what is no key."""
    match = _KEY.fullmatch(key)
    return (match[1], match[2]) if match else None


class KeyStore:
    """The keys of a database. Every method raises Unavailable KEYS_UNAVAILABLE where the database
    does not answer."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    async def create(self, grant: KeyGrant) -> tuple[KeyRecord, str]:
        """A new key and its text, which cannot be had again. Raises InvalidInput."""
        check_tenant(grant.tenant_id, "tenant")
        check_user(grant.user_id, "user")
        if not grant.scopes:
            raise InvalidInput("SCOPES_MISSING", "A key needs a scope.", subject="scopes")
        if len(grant.name) > NAME_CHARACTERS_MAX or not grant.name.isprintable():
            raise InvalidInput(
                "NAME_INVALID",
                f"The name of a key has at most {NAME_CHARACTERS_MAX} printable characters.",
                subject="name",
            )
        key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
        record = KeyRecord(key_id, _sha256(secret), grant, time.time())
        with _database_errors():
            async with self._engine.begin() as connection:
                await connection.execute(insert(api_keys).values(_to_row(record)))
        return record, f"{KEY_PREFIX}{key_id}-{secret}"

    async def find(self, key_id: str) -> KeyRecord | None:
        """The key with an id."""
        with _database_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(select(api_keys).where(api_keys.c.key_id == key_id))
                row = rows.one_or_none()
        return _from_row(row) if row else None

    async def list(self, tenant_id: str = "") -> list[KeyRecord]:
        """All keys, or those of a tenant, the newest first; revoked and expired ones too."""
        query = select(api_keys).order_by(api_keys.c.create_time_s.desc())
        if tenant_id:
            query = query.where(api_keys.c.tenant_id == tenant_id)
        with _database_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(query)
                return [_from_row(row) for row in rows]

    async def revoke(self, key_id: str) -> KeyRecord:
        """Make a key worthless, for good; no error if it is. Raises NotFound KEY_NOT_FOUND."""
        still_good = (api_keys.c.key_id == key_id) & api_keys.c.revoke_time_s.is_(None)
        with _database_errors():
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(api_keys).where(still_good).values(revoke_time_s=time.time())
                )
        record = await self.find(key_id)
        if record is None:
            raise NotFound("KEY_NOT_FOUND", f"There is no key with the id {key_id}.", subject="id")
        return record


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _to_row(record: KeyRecord) -> dict[str, Any]:
    grant = record.grant
    return {
        "key_id": record.key_id,
        "secret_sha256": record.secret_sha256,
        "name": grant.name,
        "tenant_id": grant.tenant_id,
        "user_id": grant.user_id,
        "scopes": " ".join(sorted(grant.scopes)),
        "priority": grant.priority,
        "create_time_s": record.create_time_s,
        "expire_time_s": grant.expire_time_s,
        "revoke_time_s": record.revoke_time_s,
    }


def _from_row(row: Row[Any]) -> KeyRecord:
    grant = KeyGrant(
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        scopes=frozenset(Scope(name) for name in row.scopes.split()),
        priority=Priority(row.priority),
        name=row.name,
        expire_time_s=row.expire_time_s,
    )
    return KeyRecord(row.key_id, row.secret_sha256, grant, row.create_time_s, row.revoke_time_s)


@contextlib.contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    # psycopg's own OSErrors come bare where a host cannot be resolved.
    except (SQLAlchemyError, OSError) as error:
        raise Unavailable(
            "KEYS_UNAVAILABLE",
            "The keys cannot be looked up now; try again in a moment.",
            retry_after_s=RETRY_AFTER_S,
        ) from error
