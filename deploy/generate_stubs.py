"""Write the Python stubs of all protos into gen/python (or a folder given as argument).

buf cannot reach its registry offline and grpcio-tools ships no plugin binary,
so the stubs come from ``grpc_tools.protoc`` with mypy-protobuf beside it.
"""

import shutil
import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
BIN = Path(sys.executable).parent


def generate(target: Path) -> None:
    """Replace ``target/sensorium`` by freshly generated modules and type stubs."""
    shutil.rmtree(target / "sensorium", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    command = [
        "protoc",
        # Beside this interpreter, whether or not its environment is active.
        f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
        f"-I{PROTOS}",
        f"-I{well_known}",
        f"--python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--grpc_python_out={target}",
        f"--mypy_grpc_out=quiet:{target}",
        *sources,
    ]
    if protoc.main(command) != 0:
        raise SystemExit("protoc failed")
    for folder in (target / "sensorium").rglob("*"):
        if folder.is_dir():
            (folder / "__init__.py").touch()
    (target / "sensorium" / "__init__.py").touch()


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "gen" / "python")
