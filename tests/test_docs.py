"""README and docs/ are true: their commands run, their files are there, their links lead somewhere.

A command is a line of a code block without a language. One that needs what no test has is marked by
a comment on its line, `# needs a Raspberry Pi` say, and is only parsed; all others are run, in the
order of the pages, in one folder that holds the images that the README asks for. What is appended
to a line, and a fit of fewer cameras, make it quick and change nothing that a page promises.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import cv2
import pytest
import typer.main

import edgecnn
from edgecnn.camera.fit import FitOptions
from edgecnn.cli.main import app

# The first test that wants the commands run waits for all of them.
pytestmark = pytest.mark.timeout(1800)

REPO = Path(__file__).resolve().parents[1]
GUIDE = REPO / "docs" / "guide"
# README first, then the guide in the order of the path, then the rest.
PATH = (
    "inspect",
    "calibrate",
    "train",
    "export",
    "evaluate",
    "benchmark",
    "run",
    "audit",
    "adapt",
    "doctor",
)
PAGES = [REPO / "README.md", *(GUIDE / f"{name}.md" for name in (*PATH, "demo"))]
PAGES += sorted(set(REPO.glob("docs/**/*.md")) - set(PAGES))
NEEDS = (
    "a Raspberry Pi",
    "a Coral",
    "a camera",
    "a browser",
    "edgecnn[backbones]",
)
# test_demo.py runs it, with less of everything.
RUN_ELSEWHERE = {"demo"}
QUICK: dict[str, list[str]] = {
    "train": shlex.split(
        "--epochs 8 --augment none --no-label-check --network two_layers:build --width 24 "
        "--height 32 --near-duplicate 1"
    ),
    "export": ["--edgetpu", "off"],
    "calibrate": ["--count", "40"],
}
# What it finds is the matter of tests/camera; the command has no option for it.
QUICK_FIT = partial(FitOptions, cameras=60, refine=30, set_size=16)
FORMATS = ["--formats", "tflite-float32,tflite-full-integer"]


@dataclass(frozen=True)
class Command:
    """A line of a page: the words after `edgecnn`, and what it needs ("" where nothing)."""

    page: str
    words: tuple[str, ...]
    needs: str

    @property
    def line(self) -> str:
        return " ".join(self.words)


def code(page: Path, language: str) -> list[str]:
    """The text of each code block of a language ("" for none)."""
    parts = re.split(r"^```(.*)\n", page.read_text(), flags=re.MULTILINE)
    opened = zip(parts[1::4], parts[2::4], strict=True)  # text, fence, block, fence, text, ...
    return [block for fence, block in opened if fence == language]


def commands(page: Path) -> Iterator[Command]:
    """Continuation lines are joined; a path before the program's name is passed over."""
    for line in "\n".join(code(page, "")).replace("\\\n", " ").splitlines():
        text, _, remark = line.partition("#")
        words = shlex.split(text)
        if words and Path(words[0]).name == "edgecnn":
            needs = remark.strip().removeprefix("needs ") if "needs " in remark else ""
            yield Command(page.relative_to(REPO).as_posix(), tuple(words[1:]), needs)


# Each line once, where it is shown first.
COMMANDS: list[Command] = []
for _page in PAGES:
    COMMANDS += [c for c in commands(_page) if c.line not in {known.line for known in COMMANDS}]
HERE = [c for c in COMMANDS if not c.needs and c.words[0] not in RUN_ELSEWHERE]


def test_the_readme_shows_the_whole_path_in_its_order():
    shown = [command.words[0] for command in commands(REPO / "README.md") if not command.needs]
    assert shown == ["doctor", *PATH]


def test_the_readme_is_short():
    assert len((REPO / "README.md").read_text()) < 8000


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_every_command_of_the_pages_parses(command):
    name, *args = command.words
    typer.main.get_command(app).commands[name].make_context(name, args)
    assert command.needs in ("", *NEEDS)


def test_every_command_has_a_page_with_a_block_of_options():
    for name in typer.main.get_command(app).commands:
        text = (GUIDE / f"{name}.md").read_text()
        assert re.search(rf"^<!-- options: {name} -->\n(.*\n)*?<!-- /options -->$", text, re.M), (
            name
        )
        assert f"({name}.md)" in (GUIDE / "README.md").read_text()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, write_digits) -> Path:
    """What the README asks for (lab, field, field_labelled), and the files that pages name."""
    root = tmp_path_factory.mktemp("docs")
    write_digits(root / "lab", 0, 300, 1.0)
    write_digits(root / "field_labelled", 1300, 1350, 0.5)
    sorted_field = write_digits(root / "sorted", 1400, 1460, 0.5)
    (root / "field").mkdir()
    for number, path in enumerate(sorted(sorted_field.rglob("*.png"))):
        shutil.move(path, root / "field" / f"{number}.png")
    shutil.rmtree(sorted_field)
    images = sorted((root / "lab").rglob("*.png"))
    rows = (f"{path.relative_to(root)},camera {k % 7},day {k % 3}" for k, path in enumerate(images))
    (root / "images.csv").write_text("path,device,day\n" + "\n".join(rows) + "\n")
    film = cv2.VideoWriter(str(root / "field.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (36, 44))
    for number in range(20):
        film.write(cv2.imread(str(root / "field" / f"{number}.png")))
    film.release()
    (root / "truth.csv").write_text("start,end,label\n0,1,0\n1,2,1\n")
    (root / "plan.csv").write_text("frames,label\n5,0\n2,\n5,1\n")
    (root / "labels.csv").write_text("frame,label\n12,3\n40,none of these\n")
    return root


@pytest.fixture(scope="module")
def ran(workplace) -> dict[str, int]:
    """The status of every command that needs nothing, by its line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        patch.setattr("edgecnn.calibrate.calibrate.FitOptions", QUICK_FIT)
        return {command.line: run(command) for command in HERE}


def run(command: Command) -> int:
    name, *args = command.words
    args += QUICK.get(name, [])
    if "--compare" in args:
        args += ["--compare-counts", "10"]
    if name == "export" and "--formats" not in args:
        args += FORMATS
    if "mine.keras" in args:
        write_own_network(Path("model/model.keras"), Path("mine.keras"))
    with pytest.raises(SystemExit) as ended:
        app([name, *args])
    return int(ended.value.code or 0)


def write_own_network(trained: Path, own: Path) -> None:
    """A network that takes pixels from -1 to 1, as one of the user's own may."""
    import keras

    network = keras.saving.load_model(trained, compile=False)
    pixels = keras.Input(network.input_shape[1:])
    outputs = network(keras.layers.Rescaling(127.5, 127.5)(pixels))
    keras.Model(pixels, outputs).save(own)


@pytest.mark.parametrize("line", [command.line for command in HERE])
def test_every_command_of_the_pages_runs(ran, line):
    may_fail = "--max-" in line or "--strict" in line or line.startswith("adapt ")
    assert ran[line] in ((0, 1) if may_fail else (0,))


def test_the_path_leaves_what_the_readme_says(ran, workplace):
    assert (workplace / "calibration" / "camera.json").is_file()
    assert (workplace / "model" / "model.keras").is_file()
    assert (workplace / "mine.edgecnn" / "SHA256SUMS").is_file()
    assert (workplace / "session" / "events.jsonl").is_file()
    for page in ("inspect.html", "report.html"):
        assert "<html" in (workplace / page).read_text().lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_the_python_of_the_pages_runs(page, ran, workplace, monkeypatch):
    """Training and export are not run again: only what they are given is checked."""
    monkeypatch.chdir(workplace)
    for name in ("train", "export"):
        module, function = getattr(edgecnn, name)._target
        signature = inspect.signature(getattr(import_module(module), function))
        monkeypatch.setattr(edgecnn, name, signature.bind, raising=False)
    for block in code(page, "python"):
        exec(compile(ast.parse(block), str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_links_of_the_pages_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if heading:
            assert heading in anchors(file), target


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_no_page_installs_the_name_from_an_index(page):
    """It is on none, so somebody else's package could answer."""
    for block in code(page, ""):
        for line in block.splitlines():
            if re.search(r"\bpip3? (install|download)\b", line) and "--no-index" not in line:
                assert not re.search(r"""(?<![\w/.-])['"]?edgecnn(\[|['"]|\s|$)""", line), line


def test_every_tool_in_the_pages_exists_and_can_be_run():
    tools = {tool for page in PAGES for tool in re.findall(r"\btools/([a-z_]+)", page.read_text())}
    assert {"demo", "test", "check", "bench"} <= tools
    for tool in tools - {"requirements"}:
        assert (REPO / "tools" / tool).stat().st_mode & 0o111, tool


def test_the_changelog_has_this_version():
    assert f"\n## {edgecnn.__version__}\n" in (REPO / "CHANGELOG.md").read_text()
