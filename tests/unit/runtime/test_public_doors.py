"""What a server refuses to start with."""

from pathlib import Path

import pytest

from services.runtime.errors import InvalidInput
from services.runtime.server import BuildStage, hosting
from services.runtime.settings import Settings
from services.runtime.tls import server_tls
from tests.certificates import Authority
from tests.harness import make_settings

ELSEWHERE = {
    f"{stage}_address": "127.0.0.1:1"
    for stage in ("ingest", "encode", "fuse", "generate", "search")
}


class Built(Exception):
    """A stage was about to be built: the start was not refused."""


def building(_: Settings) -> None:
    raise Built


GATEWAY: dict[str, BuildStage] = {"gateway": building}  # type: ignore[dict-item]


async def start(folder: Path, **changes: object) -> None:
    async with hosting(GATEWAY, make_settings(folder, **ELSEWHERE, **changes)):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "server.example"])
async def test_a_public_address_without_credentials_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await start(tmp_path, host=host)
    assert refused.value.reason == "AUTH_OFF_IN_PUBLIC"
    assert "SENSORIUM_AUTH=required" in refused.value.message


async def test_a_public_address_with_credentials_is_not(tmp_path: Path) -> None:
    with pytest.raises(Built):
        await start(tmp_path, host="0.0.0.0", auth="required")


@pytest.mark.parametrize(("auth", "warnings"), [("off", 1), ("required", 0)])
async def test_that_credentials_are_off_is_said_once(
    tmp_path: Path, auth: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Built):
        await start(tmp_path, auth=auth)
    said = [line for line in caplog.messages if "SENSORIUM_AUTH=required" in line]
    assert len(said) == warnings


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_half_of_a_certificate_is_refused(tmp_path: Path, missing: str) -> None:
    files = {"tls_cert_file": tmp_path / "c", "tls_key_file": tmp_path / "k"}
    del files[f"tls_{missing}_file"]
    with pytest.raises(InvalidInput) as refused:
        server_tls(make_settings(tmp_path, **files))
    assert refused.value.subject == f"SENSORIUM_TLS_{missing.upper()}_FILE"


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.certificate("one"), authority.certificate("other")
    for cert_file, key_file in (
        (one.cert_file, other.key_file),
        (one.cert_file, tmp_path / "nowhere"),
        (one.key_file, one.key_file),
    ):
        with pytest.raises(InvalidInput) as refused:
            server_tls(make_settings(tmp_path, tls_cert_file=cert_file, tls_key_file=key_file))
        assert refused.value.reason == "TLS_FILES_INVALID"
    assert server_tls(make_settings(tmp_path)) is None
