"""Tokens: whose they are, and every known way to forge one."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.gateway.access.jwks import BYTES_MAX, REFETCH_S, JwkSet
from services.gateway.access.principal import Principal
from services.gateway.access.scopes import Scope
from services.gateway.access.tokens import TokenCheck, TokenRules, rules_of
from services.runtime.errors import InvalidInput, Unauthenticated, Unavailable
from services.runtime.settings import Settings
from tests.unit.gateway.access.conftest import Clock

RULES = TokenRules("https://id.example", "sensorium", 30.0, "tenant", "sub", "scope")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGNERS: dict[str, tuple[Any, str]] = {
    "rsa": (RSA, "RS256"),
    "ec": (EC, "ES256"),
    "ed": (ED, "EdDSA"),
}


def jwk(key_id: str) -> dict[str, Any]:
    key, algorithm = SIGNERS[key_id]
    described = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**described, "kid": key_id, "alg": algorithm, "use": "sig"}


def claims(**changes: object) -> dict[str, object]:
    now = time.time()
    said = {
        "iss": RULES.issuer,
        "aud": RULES.audience,
        "sub": "auth0|5f7c",
        "tenant": "acme",
        "scope": "openid ask read",
        "exp": now + 60,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def sign(said: dict[str, object], key_id: str = "rsa", **headers: object) -> str:
    key, algorithm = SIGNERS[key_id]
    return jwt.encode(said, key, algorithm, headers={"kid": key_id, **headers})


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk(key_id) for key_id in SIGNERS]}))
    return path


@pytest.fixture
def check(keys_file: Path) -> TokenCheck:
    return TokenCheck(JwkSet(str(keys_file)), RULES)


async def reason(check: TokenCheck, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await check.authenticate(token)
    return refused.value.reason


@pytest.mark.parametrize("key_id", SIGNERS)
async def test_a_token_says_who_calls(check: TokenCheck, key_id: str) -> None:
    principal = await check.authenticate(sign(claims(), key_id))
    assert principal == Principal(
        "acme", "auth0|5f7c", frozenset({Scope.ASK, Scope.READ}), credential_id="auth0|5f7c"
    )


async def test_claims_are_found_where_the_settings_say(keys_file: Path) -> None:
    rules = TokenRules(RULES.issuer, RULES.audience, RULES.leeway_s, "", "email", "permissions")
    check = TokenCheck(JwkSet(keys_file.as_uri()), rules)
    said = claims(tenant=None, email="ada@example.org", permissions=["delete", 7, "admin"])
    assert await check.authenticate(sign(said)) == Principal(
        "default",
        "ada@example.org",
        frozenset({Scope.DELETE, Scope.ADMIN}),
        credential_id="ada@example.org",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": time.time() - 60}, "TOKEN_EXPIRED"),
        ({"exp": None}, "TOKEN_CLAIM_MISSING"),
        ({"nbf": time.time() + 86_400}, "TOKEN_NOT_YET_VALID"),
        ({"aud": "other-service"}, "TOKEN_AUDIENCE_WRONG"),
        ({"aud": None}, "TOKEN_CLAIM_MISSING"),
        ({"iss": "https://evil.example"}, "TOKEN_ISSUER_WRONG"),
        ({"tenant": None}, "TOKEN_CLAIM_MISSING"),
        ({"tenant": "../acme"}, "TOKEN_CLAIM_INVALID"),
        ({"tenant": ["acme"]}, "TOKEN_CLAIM_MISSING"),
        ({"sub": None}, "TOKEN_CLAIM_MISSING"),
        ({"sub": "a b"}, "TOKEN_CLAIM_INVALID"),
    ],
)
async def test_a_token_that_says_the_wrong_thing_is_refused(
    check: TokenCheck, changes: dict[str, object], expected: str
) -> None:
    assert await reason(check, sign(claims(**changes))) == expected


async def test_a_clock_may_be_a_little_off(check: TokenCheck) -> None:
    await check.authenticate(sign(claims(exp=time.time() - 2)))


def unsigned(name: str) -> str:
    return f"{encoded({'alg': name, 'typ': 'JWT', 'kid': 'rsa'})}.{encoded(claims())}."


def signed_with_the_public_key() -> str:
    """The RSA key of the set taken for the secret of an HMAC."""
    public = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{encoded(claims())}"
    digest = hmac.digest(public, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def of_another_key(**headers: object) -> str:
    return jwt.encode(claims(), OTHER, "RS256", headers={"kid": "rsa", **headers})


def with_other_claims() -> str:
    header, _, signature = sign(claims()).split(".")
    return f"{header}.{encoded(claims(tenant='other'))}.{signature}"


@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        (lambda: unsigned("none"), "TOKEN_ALGORITHM_REFUSED"),
        (lambda: unsigned("None"), "TOKEN_ALGORITHM_REFUSED"),
        (lambda: f"{encoded({'alg': ['RS256']})}.{encoded(claims())}.", "TOKEN_ALGORITHM_REFUSED"),
        (signed_with_the_public_key, "TOKEN_ALGORITHM_REFUSED"),
        (lambda: sign(claims(), "ec", kid="rsa"), "TOKEN_ALGORITHM_REFUSED"),
        (of_another_key, "TOKEN_INVALID"),
        # A key that the token itself brings or names is not looked at.
        (lambda: of_another_key(jwk=jwk("rsa")), "TOKEN_INVALID"),
        (lambda: of_another_key(jku="https://evil.example/jwks"), "TOKEN_INVALID"),
        (lambda: of_another_key(kid="../../etc/passwd"), "TOKEN_KEY_UNKNOWN"),
        (with_other_claims, "TOKEN_INVALID"),
        (lambda: sign(claims()).rpartition(".")[0] + ".", "TOKEN_INVALID"),
        (lambda: "..", "TOKEN_INVALID"),
        (lambda: "a.b.c", "TOKEN_INVALID"),
        (lambda: jwt.encode(claims(), RSA, "RS256"), "TOKEN_KEY_UNKNOWN"),
    ],
)
async def test_a_forged_token_is_refused(
    check: TokenCheck, forge: Callable[[], str], expected: str
) -> None:
    assert await reason(check, forge()) == expected


async def test_a_shared_secret_in_the_set_signs_nothing(tmp_path: Path) -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    shared = {"kty": "oct", "k": secret, "kid": "oct", "alg": "HS256"}
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [shared, jwk("rsa")]}))
    check = TokenCheck(JwkSet(str(path)), RULES)
    token = jwt.encode(claims(), b"s" * 32, "HS256", headers={"kid": "oct"})
    assert await reason(check, token) == "TOKEN_ALGORITHM_REFUSED"
    # So one key is left, and a token need not name it.
    await check.authenticate(jwt.encode(claims(), RSA, "RS256"))


def without(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != name}


NO_KEYS: dict[str, object] = {
    "no entry": 5,
    "empty": {},
    "no kty": without(jwk("rsa"), "kty"),
    "unknown kty": jwk("rsa") | {"kty": "LWE"},
    "kty of another type": jwk("rsa") | {"kty": ["RSA"]},
    "no n": without(jwk("rsa"), "n"),
    "no e": without(jwk("rsa"), "e"),
    "n of another type": jwk("rsa") | {"n": 5},
    "bad base64": jwk("rsa") | {"n": "=é!"},
    "a modulus of nothing": jwk("rsa") | {"n": "AA"},
    "no alg that is known": jwk("rsa") | {"alg": "RS1"},
    "alg of another type": jwk("rsa") | {"alg": ["RS256"]},
    "unsupported curve": without(jwk("ec"), "alg") | {"crv": "brainpoolP256r1", "kid": "rsa"},
    "no point of its curve": jwk("ec") | {"y": jwk("ec")["x"], "kid": "rsa"},
    "no x": without(jwk("ed"), "x") | {"kid": "rsa"},
}
"""Entries of sets that are of no use to check a token of the key "rsa" with."""


@pytest.mark.parametrize("entry", NO_KEYS.values(), ids=NO_KEYS)
async def test_what_is_no_key_is_passed_over(tmp_path: Path, entry: object) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [entry]}))
    alone = TokenCheck(JwkSet(str(path)), RULES)
    with pytest.raises(Unauthenticated) as refused:
        await alone.authenticate(sign(claims()))
    assert refused.value.reason in ("TOKEN_KEY_UNKNOWN", "TOKEN_INVALID")
    path.write_text(json.dumps({"keys": [entry, jwk("ec")]}))
    await TokenCheck(JwkSet(str(path)), RULES).authenticate(sign(claims(), "ec"))


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"\xff\xfe",
        b"",
        b"[]",
        b"{}",
        b'{"keys": {"rsa": {}}}',
        b'{"keys": ' + b"[" * 100_000,
        b'{"keys": []' + b" " * BYTES_MAX + b"}",
    ],
    ids=["html", "no text", "nothing", "list", "no keys", "keys by name", "deep", "huge"],
)
@pytest.mark.parametrize("web", [False, True])
async def test_what_is_no_set_is_as_if_it_could_not_be_reached(
    tmp_path: Path, served: "tuple[KeyServer, str]", content: bytes, web: bool
) -> None:
    keys, url = served
    path = tmp_path / "jwks.json"
    path.write_bytes(content)
    keys.content = content
    check = TokenCheck(JwkSet(url if web else str(path)), RULES)
    with pytest.raises(Unavailable) as refused:
        await check.authenticate(sign(claims()))
    assert refused.value.reason == "JWKS_UNAVAILABLE"
    assert refused.value.retry_after_s


async def test_a_set_without_keys_accepts_nobody(served: "tuple[KeyServer, str]") -> None:
    keys, url = served
    check = TokenCheck(JwkSet(url, refetch_s=0.0), RULES)
    await check.authenticate(sign(claims()))
    keys.key_ids.clear()
    assert await reason(check, of_another_key(kid="new")) == "TOKEN_KEY_UNKNOWN"
    assert await reason(check, sign(claims())) == "TOKEN_KEY_UNKNOWN", "it was withdrawn"


class KeyServer:
    """A web server of one JWK set, or of any ``content``, which counts how often it is asked."""

    def __init__(self) -> None:
        self.key_ids = ["rsa"]
        self.content: bytes | None = None
        self.fails = False
        self.count = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.count += 1
        status = b"503 No" if self.fails else b"200 OK"
        body = self.content
        if body is None:
            body = json.dumps({"keys": [jwk(key_id) for key_id in self.key_ids]}).encode()
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n" % (status, len(body)))
        writer.write(b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def served() -> AsyncIterator[tuple[KeyServer, str]]:
    keys = KeyServer()
    server = await asyncio.start_server(keys.answer, "127.0.0.1", 0)
    yield keys, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    server.close()


async def test_a_new_key_is_found_and_invented_ids_ask_no_more_often(
    served: tuple[KeyServer, str], clock: Clock
) -> None:
    keys, url = served
    check = TokenCheck(JwkSet(url), RULES)
    await asyncio.gather(*(check.authenticate(sign(claims())) for _ in range(5)))
    assert keys.count == 1
    keys.key_ids.append("ec")
    for number in range(10):
        assert await reason(check, of_another_key(kid=str(number))) == "TOKEN_KEY_UNKNOWN"
    assert keys.count == 1
    clock.now_s += REFETCH_S
    await check.authenticate(sign(claims(), "ec"))
    assert keys.count == 2


async def test_what_was_read_outlasts_its_server(
    served: tuple[KeyServer, str], clock: Clock
) -> None:
    keys, url = served
    keys.fails = True
    check = TokenCheck(JwkSet(url), RULES)
    with pytest.raises(Unavailable) as refused:
        await check.authenticate(sign(claims()))
    assert refused.value.reason == "JWKS_UNAVAILABLE"
    assert refused.value.retry_after_s is not None
    keys.fails = False
    clock.now_s += REFETCH_S
    await check.authenticate(sign(claims()))
    keys.fails = True
    clock.now_s += REFETCH_S
    assert await reason(check, of_another_key(kid="new")) == "TOKEN_KEY_UNKNOWN"
    await check.authenticate(sign(claims()))


def test_settings_that_would_let_others_in_are_refused() -> None:
    with pytest.raises(InvalidInput) as plain:
        JwkSet("http://id.example/jwks")
    assert plain.value.reason == "JWKS_URL_INVALID"
    for missing in ("jwt_issuer", "jwt_audience"):
        given = {"jwt_issuer": "i", "jwt_audience": "a", missing: ""}
        with pytest.raises(InvalidInput) as incomplete:
            rules_of(Settings.model_validate(given))
        assert incomplete.value.subject == f"SENSORIUM_{missing.upper()}"
