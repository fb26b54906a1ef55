"""The import table of the project, read from the source of every module.

the base          the modules beside errors.py; runtime.py alone loads an interpreter,
                  tflite_file.py alone the flatbuffer schema
camera            the base
device            the base; never tensorflow
audit             the base and camera; never tensorflow
images <- model <- export   the base, camera, and what stands left of the arrow
calibrate         the base, camera, images, and model (which looks at the images)
cli, cli_lab, __main__, demo   anything of edgecnn, but inside functions only
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import edgecnn

PACKAGE = Path(edgecnn.__file__).parent
# A program that bundles carry and that knows nothing of edgecnn, not a module of it.
PROGRAM = PACKAGE / "export" / "classify.py"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PROGRAM)
HEAVY = {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "sklearn", "scipy"}
HEAVY |= {"matplotlib", "jinja2", "mlxtend", "tflite_runtime", "ai_edge_litert"}
LIGHT = {"numpy", "cv2", "rich", "typer"}
LAB = {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "sklearn", "flatbuffers", "google"}
LAB |= {"h5py", "ai_edge_quantizer"}

FRONT = {"cli", "cli_lab", "__main__", "__init__", "demo"}
MAY_IMPORT = {
    "base": {"base"},
    "camera": {"base", "camera"},
    "device": {"base", "device"},
    "audit": {"base", "audit", "camera"},
    "images": {"base", "camera", "images"},
    "model": {"base", "camera", "images", "model"},
    "export": {"base", "camera", "images", "model", "export"},
    "calibrate": {"base", "camera", "images", "model", "calibrate"},
}
# Beyond LIGHT, and inside functions only (model and export: anywhere).
EXTRA = {
    "base": {"tensorflow", "onnxruntime", "tflite_runtime", "matplotlib", "jinja2"},
    "camera": {"scipy", "sklearn", "mlxtend"},
    "device": {"picamera2", "matplotlib"},
    "audit": {"scipy", "sklearn", "matplotlib", "jinja2"},
    "images": LAB | {"scipy", "PIL"},
    "model": LAB | {"scipy", "matplotlib"},
    "export": LAB | {"scipy", "matplotlib"},
    "calibrate": {"keras"},
}


@dataclass(frozen=True)
class Import:
    """`name` is dotted; `deep` when it stands in a function."""

    name: str
    line: int
    deep: bool


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if len(parts) > 1 and parts[0] not in FRONT:
        return parts[0]
    return "front" if parts[0] in FRONT else "base"


def imports(path: Path) -> list[Import]:
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")), deep=False))


def _walk(node: ast.AST, *, deep: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        line = getattr(child, "lineno", 0)
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, line, deep) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {line}: relative import"
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", line, deep)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
            names = [arg.value for arg in child.args[:1] if isinstance(arg, ast.Constant)]
            yield from (Import(str(name), line, deep) for name in names)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, deep=deep or inside)


def target(name: str) -> str:
    """The room that `edgecnn.x.y` belongs to."""
    first = name.split(".")[1] if "." in name else "__init__"
    if (PACKAGE / first).is_dir() and first not in FRONT:
        return first
    return "front" if first in FRONT or first.startswith("__") else "base"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_every_module_imports_only_what_the_table_allows(path):
    here = room(path)
    for found in imports(path):
        top = found.name.split(".")[0]
        where = f"{path.relative_to(PACKAGE)}:{found.line} imports {found.name}"
        if top in sys.stdlib_module_names:
            continue
        if top == "edgecnn":
            there = target(found.name)
            if found.name == "edgecnn.__version__" or found.name == "edgecnn":
                continue
            if here == "front":
                allowed = found.deep or there in ("base", "front")
            else:
                allowed = there in MAY_IMPORT[here]
        elif here == "front":
            allowed = found.deep or top in (LIGHT if path.stem == "demo" else {"typer", "rich"})
        else:
            free = here in ("model", "export")
            allowed = top in LIGHT or (top in EXTRA[here] and (found.deep or free))
        assert allowed, where


def test_the_table_names_every_room():
    rooms = {room(path) for path in MODULES} - {"front"}
    assert rooms <= set(MAY_IMPORT), "add the new room to the table"


def test_device_audit_camera_and_base_load_no_lab_library():
    """Imported one by one in a fresh Python: the first that pulls one in is named."""
    names = [
        ".".join(("edgecnn", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in MODULES
        if room(path) in ("base", "camera", "device", "audit") and path.name != "__init__.py"
    ]
    program = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    lab = sys.modules.keys() & set({sorted(HEAVY)})
    assert not lab, f"{{name}} loads {{lab}}"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", [["-m", "edgecnn", "--help"], ["-m", "edgecnn", "run", "--help"]], ids=str
)
def test_help_loads_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Usage" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in lines}
    assert "edgecnn" in loaded
    assert not loaded & (HEAVY | {"numpy", "cv2"})


def test_importing_edgecnn_loads_nothing_and_offers_its_names():
    program = (
        "import sys, edgecnn\n"
        "assert not {'numpy', 'cv2', 'tensorflow'} & sys.modules.keys()\n"
        "assert {'Classifier', 'train', 'export', 'audit'} <= set(edgecnn.__all__)\n"
        "assert callable(edgecnn.Classifier) and 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
