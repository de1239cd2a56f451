"""Whose a JWT is (RFC 7519), by the rules of RFC 8725: asymmetric signatures of known keys,
issuer, audience and expiry always checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import exceptions

from services.gateway.access.jwks import JwkSet
from services.gateway.access.principal import Principal
from services.gateway.access.scopes import Scope
from services.runtime.calls import DEFAULT_TENANT, check_tenant, check_user
from services.runtime.errors import InvalidInput, Unauthenticated
from services.runtime.settings import Settings

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

REFUSALS: tuple[tuple[type[exceptions.PyJWTError], str, str], ...] = (
    (exceptions.ExpiredSignatureError, "TOKEN_EXPIRED", "The token has expired."),
    (exceptions.ImmatureSignatureError, "TOKEN_NOT_YET_VALID", "The token is not valid yet."),
    (
        exceptions.InvalidAudienceError,
        "TOKEN_AUDIENCE_WRONG",
        "The token was made out for another service.",
    ),
    (exceptions.InvalidIssuerError, "TOKEN_ISSUER_WRONG", "The token is of another issuer."),
    (
        exceptions.InvalidAlgorithmError,
        "TOKEN_ALGORITHM_REFUSED",
        "The token is not signed in a way that is accepted.",
    ),
    (
        exceptions.MissingRequiredClaimError,
        "TOKEN_CLAIM_MISSING",
        "The token lacks a claim: exp, iss and aud are needed.",
    ),
    (exceptions.PyJWTError, "TOKEN_INVALID", "The token or its signature is not right."),
)
"""What PyJWT finds, the special before the general -> reason and message."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say, and where it says what."""

    issuer: str
    audience: str
    leeway_s: float
    tenant_claim: str
    user_claim: str
    scope_claim: str


def rules_of(settings: Settings) -> TokenRules:
    """The rules of the settings. Raises InvalidInput JWT_SETTING_MISSING."""
    for name in ("jwt_issuer", "jwt_audience"):
        if not getattr(settings, name):
            variable = f"SENSORIUM_{name.upper()}"
            raise InvalidInput(
                "JWT_SETTING_MISSING",
                f"Tokens are accepted only with {variable}: without it, those made out for other "
                "services would be good here too.",
                subject=variable,
            )
    return TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_s=settings.jwt_leeway_s,
        tenant_claim=settings.jwt_tenant_claim,
        user_claim=settings.jwt_user_claim,
        scope_claim=settings.jwt_scope_claim,
    )


class TokenCheck:
    """Checks tokens against a JWK set."""

    def __init__(self, keys: JwkSet, rules: TokenRules) -> None:
        self._keys = keys
        self._rules = rules

    async def authenticate(self, token: str) -> Principal:
        """Who calls with a token. Raises Unauthenticated TOKEN_*, Unavailable JWKS_UNAVAILABLE."""
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("alg")) not in ALGORITHMS:
                raise exceptions.InvalidAlgorithmError
            key = await self._keys.find(header.get("kid"))
            if key is None:
                raise Unauthenticated("TOKEN_KEY_UNKNOWN", "The token is signed by an unknown key.")
            claims = jwt.decode(
                token,
                key,
                algorithms=sorted(ALGORITHMS & {key.algorithm_name}),
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except exceptions.PyJWTError as error:
            raise _refusal(error) from None
        return _principal(claims, self._rules)

    async def close(self) -> None:
        """End what still runs in the background."""
        await self._keys.close()


def _refusal(error: exceptions.PyJWTError) -> Unauthenticated:
    reason, message = next(
        (reason, message) for kind, reason, message in REFUSALS if isinstance(error, kind)
    )
    return Unauthenticated(reason, message)


def _principal(claims: Mapping[str, Any], rules: TokenRules) -> Principal:
    tenant = _text(claims, rules.tenant_claim) if rules.tenant_claim else DEFAULT_TENANT
    user = _text(claims, rules.user_claim)
    try:
        check_tenant(tenant, rules.tenant_claim)
        check_user(user, rules.user_claim)
    except InvalidInput as error:
        raise Unauthenticated("TOKEN_CLAIM_INVALID", error.message, subject=error.subject) from None
    words = claims.get(rules.scope_claim, ())
    if isinstance(words, str):
        words = words.split()
    elif not isinstance(words, list):
        words = ()
    # A token may carry scopes of other services too.
    scopes = frozenset(scope for scope in Scope if scope in words)
    return Principal(tenant, user, scopes, credential_id=user)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Unauthenticated(
            "TOKEN_CLAIM_MISSING", f"The token lacks the claim {name}.", subject=name
        )
    return value
