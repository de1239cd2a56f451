"""TLS at both doors, with certificates of an authority of our own."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sensorium_client import Client, Credentials, SensoriumClientError

from tests.certificates import Authority, Certificate
from tests.contract.gateway.guarded import Guarded, serve_guarded


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    """The client's."""
    return authority.certificate("client")


@pytest.fixture(scope="module")
async def guarded(folder: Path, authority: Authority) -> AsyncIterator[Guarded]:
    """It asks clients for a certificate."""
    shown = authority.certificate("server")
    async with serve_guarded(
        folder,
        tls_cert_file=shown.cert_file,
        tls_key_file=shown.key_file,
        tls_client_ca_file=authority.cert_file,
    ) as running:
        yield running


def context(authority: Authority, certificate: Certificate | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority.cert_file))
    if certificate:
        made.load_cert_chain(certificate.cert_file, certificate.key_file)
    return made


async def test_who_shows_a_certificate_and_a_key_comes_in_by_both_doors(
    guarded: Guarded, authority: Authority, own: Certificate
) -> None:
    key = await guarded.key("acme")
    shown = Credentials(
        api_key=key,
        ca_file=authority.cert_file,
        cert_file=own.cert_file,
        key_file=own.key_file,
    )
    async with Client(f"https://{guarded.address}", shown) as client:
        assert await client.is_serving()
        assert await client.find_assets(["0" * 64]) == ()
    async with httpx2.AsyncClient(verify=context(authority, own)) as web:
        headers = {"authorization": f"Bearer {key}"}
        assert guarded.http_url.startswith("https://")
        assert (await web.get(f"{guarded.http_url}/v1/models", headers=headers)).status_code == 200


async def test_a_certificate_is_no_credential(
    guarded: Guarded, authority: Authority, own: Certificate
) -> None:
    shown = Credentials(ca_file=authority.cert_file, cert_file=own.cert_file, key_file=own.key_file)
    async with Client(f"https://{guarded.address}", shown) as client:
        with pytest.raises(SensoriumClientError) as refused:
            await client.find_assets(["0" * 64])
    assert refused.value.reason == "CREDENTIAL_MISSING"


@pytest.mark.parametrize("which", ["none", "of another authority"])
async def test_who_shows_no_certificate_of_ours_comes_in_by_neither_door(
    guarded: Guarded, authority: Authority, tmp_path: Path, which: str
) -> None:
    foreign = Authority(tmp_path, "foreign").certificate("eve") if which != "none" else None
    shown = Credentials(
        api_key=await guarded.key("acme"),
        ca_file=authority.cert_file,
        cert_file=foreign.cert_file if foreign else None,
        key_file=foreign.key_file if foreign else None,
    )
    async with Client(f"https://{guarded.address}", shown) as client:
        assert not await client.is_serving()
        with pytest.raises(SensoriumClientError) as refused:
            await client.find_assets(["0" * 64])
    assert refused.value.code == "UNAVAILABLE"
    async with httpx2.AsyncClient(verify=context(authority, foreign)) as web:
        with pytest.raises(httpx2.TransportError):
            await web.get(f"{guarded.http_url}/v1/models")


async def test_a_server_that_shows_another_certificate_is_not_believed(
    guarded: Guarded, own: Certificate, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    shown = Credentials(
        api_key=await guarded.key("acme"),
        ca_file=other.cert_file,
        cert_file=own.cert_file,
        key_file=own.key_file,
    )
    async with Client(f"https://{guarded.address}", shown) as client:
        assert not await client.is_serving()


async def test_nothing_is_served_without_tls(guarded: Guarded) -> None:
    async with Client(guarded.address, Credentials(api_key="k")) as client:
        assert not await client.is_serving()
    async with httpx2.AsyncClient() as web:
        with pytest.raises(httpx2.TransportError):
            await web.get(f"{guarded.http_url.replace('https', 'http', 1)}/v1/models")


async def test_commands_come_in_by_their_options(
    guarded: Guarded, authority: Authority, own: Certificate
) -> None:
    environment = {
        **os.environ,
        "SENSORIUM_SERVER": f"https://localhost:{guarded.settings.port}",
        "SENSORIUM_API_KEY": await guarded.key("acme"),
        "TERM": "dumb",
    }
    files = {"ca": authority.cert_file, "cert": own.cert_file, "key": own.key_file}
    options = [f"--{name}-file={path}" for name, path in files.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorium_client.cli", *options, "assets"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert b"Nothing is stored." in out
