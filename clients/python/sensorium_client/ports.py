"""Who listens on a port of this machine."""

import socket
from pathlib import Path

_LISTEN_STATE = "0A"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listener(port: int) -> str:
    """ "python (pid 42)" for who listens on a port; empty where that cannot be found out."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}
            if links & wanted:
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            # Another user's, or gone by now.
            continue
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == _LISTEN_STATE and int(local.rpartition(":")[2], 16) == port:
                inodes.add(inode)
    return inodes
