"""The rules of the house, checked on the code itself."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("ingest", "encode", "fuse", "generate", "search", "gateway")
LINES_MAX = 400
MAIN_LINES_MAX = 30

# Who may know protobuf and gRPC. The gateway is the walk itself: messages pass
# through it as they are, so only its judgement (JUDGEMENT) is kept free of them.
CONTRACT_MODULES = {"service.py", "stage.py", "__main__.py", "convert.py", "vectors.py"}
CONTRACT_MODULES |= {"convert_query.py"}
# The one call of a stage: from a search process to the one that writes the index.
CONTRACT_MODULES |= {"forward.py"}
JUDGEMENT = {
    "admission.py",
    "citations.py",
    "grounding.py",
    "markers.py",
    "policy.py",
    "question.py",
    "relevance.py",
    "sentences.py",
    "temporal.py",
    "times.py",
    "timings.py",
}
JUDGEMENT |= {"counters.py", "limiter.py", "limits.py", "prices.py"}
# Packages of the gateway that are free of them as a whole.
JUDGEMENT_PACKAGES = {"access", "database"}


def modules(folder: str) -> Iterator[Path]:
    return (path for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_never_imports_another(stage: str) -> None:
    others = tuple(f"services.{other}" for other in STAGES if other != stage)
    for path in modules(f"services/{stage}"):
        wrong = {name for name in imports(path) if name.startswith(others)}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_runtime_imports_no_stage() -> None:
    stages = tuple(f"services.{stage}" for stage in STAGES)
    for path in modules("services/runtime"):
        assert not {name for name in imports(path) if name.startswith(stages)}, path


@pytest.mark.parametrize("stage", STAGES)
def test_domain_modules_know_no_grpc_and_no_protobuf(stage: str) -> None:
    for path in modules(f"services/{stage}"):
        judged = path.name in JUDGEMENT or path.parent.name in JUDGEMENT_PACKAGES
        judged |= stage != "gateway"
        if path.name in CONTRACT_MODULES or not judged:
            continue
        wrong = {
            name
            for name in imports(path)
            if name.split(".")[0] in ("grpc", "google", "sensorium") or name.endswith("_pb2")
        }
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_roles(stage: str) -> None:
    folder = ROOT / "services" / stage
    assert {"__main__.py", "stage.py", "service.py"} <= {path.name for path in folder.iterdir()}
    assert len((folder / "__main__.py").read_text().splitlines()) <= MAIN_LINES_MAX


def test_only_backends_touch_weights() -> None:
    engines = {"torch", "transformers", "openvino", "onnxruntime", "rapidocr"}
    engines |= {"faster_whisper", "ctranslate2", "xllamacpp"}
    for path in modules("services"):
        if "backends" in path.parts:
            continue
        wrong = {name for name in imports(path) if name.split(".")[0] in engines}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_only_settings_read_the_environment() -> None:
    for path in modules("services"):
        if path.name == "settings.py":
            continue
        source = path.read_text()
        assert "os.environ" not in source and "getenv" not in source, path.relative_to(ROOT)


def test_the_client_imports_services_in_one_place_only() -> None:
    importers = {
        path.name
        for path in modules("clients/python/sensorium_client")
        if any(name.startswith("services") for name in imports(path))
    }
    assert importers <= {"launcher.py"}


def test_the_formats_know_neither_services_nor_client() -> None:
    for path in modules("sensorium_formats"):
        assert not {name for name in imports(path) if name.startswith(("services", "sensorium."))}
        assert not {name for name in imports(path) if name.startswith("sensorium_client")}


def test_modules_are_small() -> None:
    for folder in ("services", "clients", "sensorium_formats"):
        for path in modules(folder):
            count = len(path.read_text().splitlines())
            assert count <= LINES_MAX, f"{path.relative_to(ROOT)} has {count} lines"


def third_party(folder: str) -> Iterator[tuple[Path, str]]:
    """Each module and what it imports by itself that is neither Python's nor ours."""
    ours = {"services", "sensorium", "sensorium_client", "sensorium_formats"}
    for path in modules(folder):
        for name in {name.split(".")[0] for name in imports(path)}:
            if name not in ours and name not in sys.stdlib_module_names:
                yield path, name


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["offline"], *extras["moderation"]]
    wanted += extras["samples"]
    declared = {canonicalize_name(Requirement(each).name) for each in wanted}
    distributions = packages_distributions()
    for folder in ("services", "clients/python", "sensorium_formats"):
        for path, name in third_party(folder):
            of = {canonicalize_name(each) for each in distributions.get(name, ())}
            assert of & declared, f"{path.relative_to(ROOT)}: {name} is not in pyproject.toml"


def test_the_lock_pins_what_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {
        canonicalize_name(each.name): str(each.specifier)
        for each in map(Requirement, (ROOT / "deploy/requirements.lock").read_text().split())
    }
    extras = project["optional-dependencies"]
    # The bulk job has a closure of its own.
    of_the_house = [each for name, each in extras.items() if name != "ray"]
    for each in map(Requirement, chain(project["dependencies"], *of_the_house)):
        assert locked.get(canonicalize_name(each.name)) == str(each.specifier), each.name
