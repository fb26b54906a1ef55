"""`tools/bench alarms`: what `inspect` and the label check say of sound sets and planted faults.

Two tables: the alarms on sound sets, which are all false but those of colour where classes live in
it; and the faults found, beside those of another checkout. Each checkout runs in its own process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from _bench_alarms_sets import COLOUR, SETS, write_set

_HERE = Path(__file__).resolve().parents[1]


def tables(folder: Path, than: Path | None, only: Sequence[str]) -> Iterator[str]:
    """The lines of both tables.

    Args:
        folder: Takes the sets, which stay, and what the other checkout says of them.
        than: The other checkout.
        only: Names of SETS; all when empty.
    """
    jobs = []
    for name in only or SETS:
        written = write_set(name, folder / re.sub(r"\W+", "-", name))
        if written:
            jobs.append({"set": name, **{kind: str(path) for kind, path in written.items()}})
    ours = _looked(_HERE, jobs)
    yield (
        "| set | pictures | problems and warnings of inspect | accused by the label check | "
        "its processor time, s |"
    )
    yield "|---" * 5 + "|"
    for job, found in zip(jobs, ours, strict=True):
        yield f"| {job['set']} | {found['sound']['images']} | {' | '.join(_alarms(found))} |"
    other = _looked(than, jobs, folder / "other.json") if than else [None] * len(jobs)
    yield ""
    beside = " (the other checkout)" if than else ""
    yield (
        f"| set | swapped labels listed{beside} | of those listed, swapped | one class through "
        "another camera | copies in the group of their picture | a mirror that breaks labels |"
    )
    yield "|---" * 6 + "|"
    for job, found, old in zip(jobs, ours, other, strict=True):
        cells = _finds(job, found)
        if old:
            cells = [
                f"{a} ({b})" if a or b else "" for a, b in zip(cells, _finds(job, old), strict=True)
            ]
        yield f"| {job['set']} | {' | '.join(cells)} |"
    yield ""


def _looked(checkout: Path, jobs: Sequence[dict], kept: Path | None = None) -> list[dict]:
    """What a checkout says of each set, in the order of the jobs."""
    known = json.loads(kept.read_text()) if kept and kept.exists() else {}
    missing = [job for job in jobs if job["set"] not in known]
    if missing:
        path = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("_bench_alarms_look.py"))],
            input=json.dumps(missing),
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        if done.returncode:
            sys.exit(done.returncode)
        for line in filter(None, done.stdout.splitlines()):
            found = json.loads(line)
            known[found["set"]] = found
        if kept:
            kept.write_text(json.dumps(known))
    return [known[job["set"]] for job in jobs]


def _alarms(found: dict) -> list[str]:
    """What is said of a sound set."""
    said = [f"{f['topic']}: {f['what']}" for f in found["sound"]["findings"]]
    by_colour = SETS[found["set"]].by_colour
    accused = [
        f"{check['name']}{' (of colour)' if by_colour and check['name'] in COLOUR else ''}"
        for check in found["checks"]
        if check["keeps"] is False and not _handed(found["set"], check)
    ]
    return ["; ".join(said) or "none", ", ".join(accused) or "none", f"{found['seconds']:.0f}"]


def _handed(name: str, check: dict) -> bool:
    return check["name"] == "flip" and SETS[name].handed


def _finds(job: dict, found: dict) -> list[str]:
    """What is found of each planted fault."""
    swapped, copies = (
        json.loads((Path(job[kind]) / "planted.json").read_text()) for kind in ("swapped", "copies")
    )
    listed, groups = found["swapped"]["suspects"], found["groups"]
    held = len({file for (file,) in swapped} & set(listed))
    joined = sum(groups[copy] == groups[original] for copy, original in copies)
    marks = _about_cameras(found["camera"]) - _about_cameras(found["sound"])
    mirror = [check["keeps"] is False for check in found["checks"] if _handed(job["set"], check)]
    return [
        f"{held} of {len(swapped)}",
        f"{held} of {len(listed)}",
        "found" if marks else "no",
        f"{joined} of {len(copies)}",
        "".join("found" if broken else "no" for broken in mirror),
    ]


def _about_cameras(inspected: dict) -> set[str]:
    """What is said of how pictures were taken, without its figures."""
    said = [f["what"] for f in inspected["findings"] if f["topic"] in ("groups", "background")]
    return {re.sub(r"[\d,.]+ %", "", what) for what in said}
