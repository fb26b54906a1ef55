"""The structure of edgecnn, read from the source of every module: who imports whom, and names.

Rows of DESIGN's table, from the bottom up; a row may import what lies below it:

    errors, installed, records, option, _version, callable, quiet, memory, words, files, render
                                each other, downwards
    accuracy
    bundle, session
    camera, device, audit       never each other, but audit may import camera; never the lab
    images <- inspect, model <- calibrate, train, export          never device or audit
    adapt                       all of the lab
    cli, __main__               options anywhere, all else inside functions only
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

import edgecnn
from edgecnn.session.header import SessionHeader

PACKAGE = Path(edgecnn.__file__).parent
# A program that bundles carry and that knows nothing of edgecnn, not a module of it.
PROGRAM = PACKAGE / "export" / "packing" / "classify.py"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PROGRAM)
HEAVY = {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "sklearn", "scipy"}
HEAVY |= {"matplotlib", "jinja2", "mlxtend", "tflite_runtime", "ai_edge_litert"}
HEAVY |= {"starlette", "uvicorn", "paho"}
LIGHT = {"numpy", "cv2", "rich", "typer"}
LAB = {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "sklearn", "flatbuffers", "google"}
LAB |= {"h5py", "ai_edge_quantizer"}

# Within this row a module imports what stands before it: none imports upwards.
BASE = ["errors", "installed", "records", "option", "_version", "callable", "quiet", "memory"]
BASE += ["words", "files", "render"]
GROUND = {*BASE, "accuracy"}
FIELD = {*GROUND, "bundle", "session"}
MAY_IMPORT: dict[str, set[str]] = {
    **{name: set(BASE[:k]) for k, name in enumerate(BASE)},
    "accuracy": set(BASE),
    "bundle": GROUND,
    "session": {*GROUND, "bundle"},
    "camera": FIELD,
    "device": FIELD,
    "audit": {*FIELD, "camera"},
    "images": {*FIELD, "camera"},
    "inspect": {*FIELD, "camera", "images"},
    "model": {*FIELD, "camera", "images"},
    "calibrate": {*FIELD, "camera", "images", "inspect", "model"},
    "train": {*FIELD, "camera", "images", "model"},
    "export": {*FIELD, "camera", "images", "model"},
    "adapt": {*FIELD, "camera", "images", "model", "calibrate", "train", "export"},
    # The demo goes the whole path, and cli starts everything: both inside functions.
    "demo": {*FIELD, "camera"},
    "cli": {*BASE, "cli"},
    "__main__": {"cli"},
    "__init__": {"_version"},
}
ANYTHING_INSIDE_FUNCTIONS = {"demo", "cli"}
# Beyond LIGHT, and inside functions only (model, train and export: anywhere).
EXTRA = {
    "quiet": {"tensorflow"},
    "files": {"tomli"},
    "render": {"matplotlib", "jinja2"},
    "bundle": {"tensorflow", "onnxruntime", "tflite_runtime", "PIL", "pi_heif"},
    "camera": {"scipy", "sklearn"},
    "device": {"picamera2", "matplotlib", "starlette", "uvicorn", "paho"},
    "audit": {"scipy", "sklearn", "matplotlib", "jinja2"},
    "images": LAB | {"scipy", "PIL"},
    "inspect": LAB | {"scipy", "PIL"},
    "model": LAB | {"scipy", "matplotlib"},
    "train": LAB | {"scipy", "matplotlib"},
    "export": LAB | {"scipy", "matplotlib"},
    "calibrate": {"keras"},
    "adapt": LAB | {"scipy", "matplotlib"},
    "demo": {"sklearn", "mlxtend"},
}
FREE = {"model", "train", "export"}

# The naming law: stems that each room may have, beside the one that bears its verb.
ONE_A_ROOM = {"options", "result", "read", "write", "page", "plots", "gate", "__init__"}
MOST_FILES = 15

# The home of each contract: the only module whose strings hold these names of files ...
HOMES = {
    "_edgetpu.tflite": "bundle/artifacts.py",
    "events.jsonl": "session/layout.py",
    "lab_test.npz": "model/read.py",
    "replay.npz": "model/lab_replay.py",
    "session.json": "files/own_folders.py",
}
# ... no module makes a path of this folder: session/layout.py has its name ...
FOLDERS = {"frames"}
# ... the only one that may know these keys of card.json ...
CARD_KEYS = {"max_output_error", "tensor_sha256", "prior", "parent"}
# ... the only one that has this number, or computes the paired test ...
TEXT_HOMES = {"1.9599": "accuracy/quantiles.py", "comb(": "accuracy/paired.py"}
# ... and the only one that knows these keys.
KEY_HOMES = {
    **dict.fromkeys(("event", "captured_at", "roi", "blind"), "session/events.py"),
    "started_at": "session/header.py",
}
# Nobody spells these: they are the names of fields of SessionHeader.
HEADER_KEYS = {"artifact_sha256", "boot_id"}


@dataclass(frozen=True)
class Import:
    """`name` is dotted; `deep` when it stands in a function."""

    name: str
    line: int
    deep: bool


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


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
    """The room that `edgecnn.x.y` belongs to; "__init__" of `edgecnn` and its public names."""
    first = name.split(".")[1] if "." in name else "__init__"
    known = (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").is_file()
    return first if known else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_every_module_imports_only_what_the_table_allows(path):
    here = room(path)
    for found in imports(path):
        top = found.name.split(".")[0]
        where = f"{path.relative_to(PACKAGE)}:{found.line} imports {found.name}"
        anything = found.deep and here in ANYTHING_INSIDE_FUNCTIONS
        # A command is made of its options: `test_help_loads_nothing_heavy` keeps these light.
        anything = anything or (here == "cli" and ".options." in found.name)
        if top in sys.stdlib_module_names:
            continue
        if top == "edgecnn":
            there = target(found.name)
            assert there == here or anything or there in MAY_IMPORT[here], where
        elif here in ("cli", "__main__"):
            assert found.deep or top in ("typer", "rich"), where
        else:
            extra = top in EXTRA.get(here, set()) and (found.deep or here in FREE)
            assert top in LIGHT or extra or anything, where


def test_the_table_names_every_room_and_no_other():
    assert {room(path) for path in MODULES} == set(MAY_IMPORT)


def test_no_module_is_part_of_an_import_circle():
    names = {_name(path): path for path in MODULES}
    graph = {}
    for name, path in names.items():
        wanted = {found.name for found in imports(path) if not found.deep}
        graph[name] = {
            other
            for other in names
            if other != name and any(w == other or w.rpartition(".")[0] == other for w in wanted)
        }
    while leaves := [name for name, needs in graph.items() if not needs]:
        for leaf in leaves:
            del graph[leaf]
        for needs in graph.values():
            needs.difference_update(leaves)
    assert not graph


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_folder_holds_more_than_fifteen_files():
    count = defaultdict(int)
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            count[path.parent.relative_to(PACKAGE).as_posix()] += 1
    assert {folder: n for folder, n in count.items() if n > MOST_FILES} == {}


def test_no_file_stem_occurs_twice_outside_the_naming_law():
    places = defaultdict(list)
    for path in MODULES:
        if room(path) != "cli" and path.stem not in ONE_A_ROOM:
            places[path.stem].append(path.relative_to(PACKAGE).as_posix())
    assert {stem: paths for stem, paths in places.items() if len(paths) > 1} == {}


def test_no_public_class_name_occurs_twice():
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(PACKAGE).as_posix())
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@dataclass(frozen=True)
class Literals:
    """The strings of a module, without docstrings and `__all__`, and those behind a `/`."""

    texts: set[str]
    folders: set[str]

    @classmethod
    def of(cls, path: Path) -> Literals:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        loose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                loose |= {id(name) for name in ast.walk(node.value)}
        texts = [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        slashes = [n.right for n in nodes if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)]
        return cls(
            {node.value for node in texts if id(node) not in loose},
            {n.value for n in slashes if isinstance(n, ast.Constant) and isinstance(n.value, str)},
        )


def test_each_contract_has_one_home():
    places = defaultdict(set)
    for path in MODULES:
        where = path.relative_to(PACKAGE).as_posix()
        found = Literals.of(path)
        for name in HOMES:
            if any(name in text for text in found.texts):
                places[name].add(where)
        for name in KEY_HOMES.keys() & found.texts:
            places[name].add(where)
        assert not found.folders & FOLDERS, where
        assert not found.texts & HEADER_KEYS, where
    assert places == {name: {home} for name, home in {**HOMES, **KEY_HOMES}.items()}
    assert {field.name for field in fields(SessionHeader)} >= HEADER_KEYS


def test_only_the_card_knows_its_keys():
    card = PACKAGE / "bundle" / "card.py"
    known = {path: Literals.of(path).texts & CARD_KEYS for path in MODULES if path != card}
    assert {path: keys for path, keys in known.items() if keys} == {}


def test_each_formula_has_one_home():
    texts = {path: path.read_text(encoding="utf-8") for path in MODULES}
    for formula, home in TEXT_HOMES.items():
        assert [path for path, text in texts.items() if formula in text] == [PACKAGE / home]
    assert [path for path, text in texts.items() if "binomtest" in text] == []


def test_no_signature_is_read_by_what_python_3_10_reads_otherwise():
    """Its get_type_hints hides what is annotated where None is the default; of classes it works."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in MODULES}
    assert {name for name, text in texts.items() if " get_type_hints" in text} == {
        "option.py",
        "records.py",
    }


def test_a_private_name_is_imported_by_no_other_module():
    for path in MODULES:
        for found in imports(path):
            last = found.name.rpartition(".")[2]
            if found.name.startswith("edgecnn.") and not last.startswith("__"):
                private = last.startswith("_") and last != "_version"
                assert not private, f"{path.relative_to(PACKAGE)}:{found.line} {found.name}"


def test_device_audit_camera_and_what_they_rest_on_load_no_lab_library():
    """Imported one by one in a fresh Python: the first that pulls one in is named."""
    light = {*MAY_IMPORT["audit"], "audit", "device"}
    names = [_name(path) for path in MODULES if room(path) in light and path.stem != "__init__"]
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
