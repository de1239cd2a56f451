"""Keys and tokens alike, as ``authorization: Bearer ...`` brings them."""

from services.gateway.access.jwks import JwkSet
from services.gateway.access.key_check import KeyCheck
from services.gateway.access.keys import KEY_PREFIX, KeyStore
from services.gateway.access.principal import Principal
from services.gateway.access.tokens import TokenCheck, rules_of
from services.gateway.database.engine import Database
from services.runtime.errors import Unauthenticated
from services.runtime.settings import Settings

TOKEN_DOTS = 2
"""Of a signed JWT: header.claims.signature."""


class Credentials:
    """The authenticator of a gateway that asks for credentials."""

    def __init__(self, keys: KeyCheck, tokens: TokenCheck | None = None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def authenticate(self, authorization: str) -> Principal:
        """See ``Authenticator``."""
        scheme, _, credential = authorization.partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise Unauthenticated(
                "CREDENTIAL_MISSING",
                "Send a key or a token as `authorization: Bearer ...`.",
                subject="authorization",
            )
        if credential.startswith(KEY_PREFIX) or credential.count(".") != TOKEN_DOTS:
            return await self._keys.authenticate(credential)
        if self._tokens is None:
            raise Unauthenticated("TOKEN_REFUSED", "This server accepts keys, and no tokens.")
        return await self._tokens.authenticate(credential)

    async def close(self) -> None:
        """End what still runs in the background."""
        if self._tokens:
            await self._tokens.close()


def credentials_of(settings: Settings, database: Database) -> Credentials | None:
    """The authenticator that the settings ask for; None where they ask for none.

    Raises InvalidInput JWKS_URL_INVALID, JWT_SETTING_MISSING.
    """
    if settings.auth == "off":
        return None
    tokens = None
    if settings.jwt_jwks_url:
        tokens = TokenCheck(JwkSet(settings.jwt_jwks_url), rules_of(settings))
    return Credentials(KeyCheck(KeyStore(database).find), tokens)
