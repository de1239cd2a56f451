"""A real S3 server of our own for a while: SeaweedFS, as pip installs it."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.ports import free_ports

_START_S = 60.0
_KEY = "sensorium"
_IDENTITIES = {
    "identities": [
        {
            "name": _KEY,
            "credentials": [{"accessKey": _KEY, "secretKey": _KEY}],
            # Whoever may do this need not make a bucket before writing to it.
            "actions": ["Admin"],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """Where it listens. A bucket exists once something was put in it; LanceDB wants that first."""

    endpoint: str

    def store(self, bucket: str) -> S3Store:
        """A store of obstore for a bucket."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=_KEY,
            secret_access_key=_KEY,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which obstore and LanceDB find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _KEY,
            "AWS_ALLOW_HTTP": "true",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        }


@contextlib.contextmanager
def object_server(folder: Path) -> Iterator[ObjectServer]:
    """Runs the server with its files in ``folder``; ends it on leaving."""
    program = Path(sys.executable).with_name("weed")
    names = [
        f"{part}.port{kind}"
        for part in ("master", "volume", "filer", "s3")
        for kind in ("", ".grpc")
    ]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    identities = folder / "identities.json"
    identities.write_text(json.dumps(_IDENTITIES))
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [
            str(program),
            "server",
            f"-dir={folder}",
            "-s3",
            f"-s3.config={identities}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-volume.max=100",
            "-master.volumeSizeLimitMB=64",
            *(f"-{name}={port}" for name, port in ports.items()),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    server = ObjectServer(f"http://127.0.0.1:{ports['s3.port']}")
    try:
        _wait(server, process)
        yield server
    finally:
        # Asked to, it would wait 25 s for connections that its clients keep open.
        process.kill()
        process.wait()
        log.close()


def _wait(server: ObjectServer, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    store = server.store("ready")
    while True:
        try:
            store.put("ready", b"")
        except (BaseError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
