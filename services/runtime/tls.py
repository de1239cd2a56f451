"""TLS of the gateway's doors, gRPC and HTTP alike; mutual where clients must have certificates."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.runtime.errors import InvalidInput
from services.runtime.settings import ENV_PREFIX, Settings


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows, and whom it trusts."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None
    """Authorities of the clients; None: clients need no certificate."""

    def http_context(self) -> ssl.SSLContext:
        """For a server of Python's. TLS 1.2 at least."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # Without a password an encrypted key would be asked for on the terminal.
        context.load_cert_chain(self.cert_file, self.key_file, password="")
        if self.client_ca_file:
            context.load_verify_locations(self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For a server of gRPC's."""
        pair = (self.key_file.read_bytes(), self.cert_file.read_bytes())
        authorities = self.client_ca_file.read_bytes() if self.client_ca_file else None
        return grpc.ssl_server_credentials([pair], authorities, authorities is not None)


def server_tls(settings: Settings) -> ServerTls | None:
    """TLS as the settings want it; None: they want none.

    Raises:
        InvalidInput: TLS_SETTING_MISSING; TLS_FILES_INVALID for files that cannot be used.
    """
    cert_file, key_file = settings.tls_cert_file, settings.tls_key_file
    if not (cert_file or key_file or settings.tls_client_ca_file):
        return None
    if cert_file is None or key_file is None:
        variable = f"{ENV_PREFIX}TLS_{'KEY' if cert_file else 'CERT'}_FILE"
        raise InvalidInput("TLS_SETTING_MISSING", f"TLS needs {variable} too.", subject=variable)
    tls = ServerTls(cert_file, key_file, settings.tls_client_ca_file)
    try:
        tls.http_context()
    except OSError as error:
        # Of these files the operator's own terminal may be told. SSLError is an OSError too.
        raise InvalidInput(
            "TLS_FILES_INVALID",
            f"The files of {ENV_PREFIX}TLS_* cannot be used: {error.strerror or error}.",
            subject=f"{ENV_PREFIX}TLS_CERT_FILE",
        ) from None
    return tls
