"""TLS of the gateway's doors, gRPC and HTTP alike, and between stages on several machines; mutual
where clients must have certificates."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.runtime.errors import InvalidInput
from services.runtime.settings import ENV_PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Tls:
    """What a process shows, and whom it trusts."""

    cert_file: Path
    key_file: Path
    ca_file: Path | None
    """Authorities of those at the other end; None: clients need no certificate."""

    def http_context(self) -> ssl.SSLContext:
        """For a server of Python's. TLS 1.2 at least."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # Without a password an encrypted key would be asked for on the terminal.
        context.load_cert_chain(self.cert_file, self.key_file, password="")
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For a server of gRPC's."""
        pair = (self.key_file.read_bytes(), self.cert_file.read_bytes())
        authorities = self.ca_file.read_bytes() if self.ca_file else None
        return grpc.ssl_server_credentials([pair], authorities, authorities is not None)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a client that shows the same certificate to servers of the same authorities."""
        authorities = self.ca_file.read_bytes() if self.ca_file else None
        return grpc.ssl_channel_credentials(
            authorities, self.key_file.read_bytes(), self.cert_file.read_bytes()
        )


def server_tls(settings: Settings) -> Tls | None:
    """TLS of the gateway as the settings want it; None: they want none.

    Raises:
        InvalidInput: TLS_SETTING_MISSING; TLS_FILES_INVALID for files that cannot be used.
    """
    files = (settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    return _checked(f"{ENV_PREFIX}TLS_", *files) if any(files) else None


def stage_tls(settings: Settings) -> Tls | None:
    """TLS between this process and stages, or the gateway, on other machines; None: the settings
    want none. Raises as ``server_tls``."""
    files = (
        settings.stage_tls_cert_file,
        settings.stage_tls_key_file,
        settings.stage_tls_ca_file,
    )
    if not any(files):
        return None
    tls = _checked(f"{ENV_PREFIX}STAGE_TLS_", *files)
    if tls.ca_file is None:
        # Who may call a stage may be any tenant, and who answers in its name is believed.
        raise _missing(f"{ENV_PREFIX}STAGE_TLS_CA_FILE")
    return tls


def _checked(
    prefix: str, cert_file: Path | None, key_file: Path | None, ca_file: Path | None
) -> Tls:
    if cert_file is None or key_file is None:
        raise _missing(f"{prefix}{'KEY' if cert_file else 'CERT'}_FILE")
    tls = Tls(cert_file, key_file, ca_file)
    try:
        tls.http_context()
    except OSError as error:
        # Of these files the operator's own terminal may be told. SSLError is an OSError too.
        raise InvalidInput(
            "TLS_FILES_INVALID",
            f"The files of {prefix}* cannot be used: {error.strerror or error}.",
            subject=f"{prefix}CERT_FILE",
        ) from None
    return tls


def _missing(variable: str) -> InvalidInput:
    return InvalidInput("TLS_SETTING_MISSING", f"TLS needs {variable} too.", subject=variable)
