"""Without the extra one line says what to install; the wheel holds the page's files."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from served import REPO

PAGE = REPO / "edgecnn" / "device" / "web" / "page"
# A program in which one package can't be imported, as where the extra is missing.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from edgecnn.cli.main import main
main()
"""


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
@pytest.mark.parametrize("command", ["run", "label"])
def test_without_the_extra_one_line_says_what_to_install(
    tmp_path, digits_bundle, digits_field, command, missing
):
    arguments = {
        "run": [digits_bundle, "-s", digits_field, "--web", "8080", "--max-frames", "1"],
        "label": [digits_field, "-o", tmp_path / "out"],
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT.format(name=missing),
            command,
            *map(str, arguments[command]),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=REPO,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert f"{missing}, which is not installed" in lines[0]
    assert "pip install starlette uvicorn" in lines[0]


def wheel_files(folder: Path) -> set[str]:
    """What a built wheel holds; without the builder, what its rules in pyproject say."""
    if importlib.util.find_spec("hatchling") is not None:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=REPO, check=True, capture_output=True, timeout=300)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return set(archive.namelist())
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    rules = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert set(rules["targets"]["wheel"]) == {"packages", "force-include"}
    assert rules["targets"]["wheel"]["packages"] == ["edgecnn"]
    assert set(rules) == {"targets"}
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "edgecnn"]
    found = subprocess.run(listed, cwd=REPO, check=True, capture_output=True, text=True, timeout=60)
    return set(found.stdout.splitlines())


def test_the_wheel_holds_every_file_of_the_page(tmp_path):
    page = {path.relative_to(REPO).as_posix() for path in PAGE.iterdir()}
    assert {f"edgecnn/device/web/page/{name}" for name in ("index.html", "main.js")} <= page
    assert page <= wheel_files(tmp_path)
