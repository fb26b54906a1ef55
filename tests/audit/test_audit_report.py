"""The HTML page: whole, safe, and readable in a real browser."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sessions import (
    LABELS,
    PAST_BUNDLE,
    answer_event,
    frame_event,
    record_folder,
    truth_event,
    write_session,
)

import edgecnn
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.errors import OutputError

CHROMIUM = Path("/usr/bin/chromium")
EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a & b", "$x^2$ 日本 \x07")


class _Page(HTMLParser):
    """Tags, what they load, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        loads = ("src", "href", "srcset", "data", "poster", "action", "background")
        self.loaded += [value for name, value in attrs if name in loads]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def session(color_bundle, color_folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "session"
    return record_folder(path, color_bundle, color_folders.field)


@pytest.fixture(scope="module")
def written(session, color_folders, tmp_path_factory):
    """(report, page file)"""
    target = tmp_path_factory.mktemp("report") / "new" / "report.html"
    report = audit([session], AuditOptions(lab=(color_folders.lab,), report=target))
    return report, target


@pytest.mark.parametrize(("option", "said"), [("report", "-o"), ("csv", "--csv")])
def test_what_it_writes_is_not_put_among_the_lab_images(tmp_path, option, said):
    lab = tmp_path / "lab"
    lab.mkdir()
    options = AuditOptions(lab=(lab,), **{option: lab / "answers"})
    with pytest.raises(OutputError, match=rf"images are read: .* choose another {said}, beside it"):
        audit([tmp_path / "absent"], options)


def test_the_page_shows_both_accuracies_the_gap_and_how_it_was_made(written):
    report, target = written
    text = _Page(target.read_text()).text
    for figure in (
        f"{100 * report.lab.float_tally.accuracy:.1f} %",
        f"{100 * report.live.tally.accuracy:.1f} %",
        f"{report.gap_points:.1f}",
        report.steps[1].evidence,
        report.sessions[0]["artifact"],
    ):
        assert figure in text
    assert re.search(r"SHA-256 [0-9a-f]{64}", text)


def test_the_page_says_the_alarm_and_of_the_gap_alone_whether_it_is_allowed(session, tmp_path):
    limits = AuditOptions(report=tmp_path / "r.html", max_gap=100, fail_on=("alarm",))
    report = audit([session], limits)
    assert report.alarm.raised
    assert not report.ok
    text = _Page((tmp_path / "r.html").read_text()).text
    assert "allowed: 100.0 points, passed" in text
    assert "alarm: the field is worse than the lab" in text
    assert report.alarm.text() in text


def test_the_page_loads_nothing_and_runs_nothing(written):
    page = _Page(written[1].read_text())
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.loaded) >= 8
    assert all(value.startswith("data:image/") for value in page.loaded)
    style = written[1].read_text().partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    for value in page.loaded:
        if value.startswith("data:image/svg+xml;base64,"):
            plot = base64.b64decode(value.partition(",")[2]).decode()
            links = re.findall(r'(?:href|src)="([^"]*)"', plot)
            assert all(link.startswith(("#", "data:")) for link in links)


def test_the_misread_frames_are_embedded(written):
    report, target = written
    page = _Page(target.read_text())
    shown = sum(value.startswith("data:image/jpeg;base64,") for value in page.loaded)
    assert shown >= sum(misread.image is not None for misread in report.live.worst) > 0


def _evil_session(path, bundle):
    """A session whose labels, host and source want to be HTML."""
    events = []
    for k in range(40):
        events += [
            answer_event(k, k % 4 != 0, truth=k % 4, pool="uniform"),
            truth_event(k, EVIL[k % 4]),
        ]
    session = write_session(path, bundle, events, host={"name": EVIL[0]}, source=EVIL[1])
    head = json.loads((session / "session.json").read_text())
    head["card"]["labels"] = [*EVIL, *LABELS[4:]]
    head["card"]["name"] = EVIL[0]
    head["bundle"]["path"] = EVIL[1]
    (session / "session.json").write_text(json.dumps(head))
    for k in range(40):
        (session / "frames" / f"{k:08d}.png").write_bytes(b"not an image")
    return session


def test_labels_and_hosts_that_look_like_html_stay_text(color_bundle, tmp_path):
    target = tmp_path / "r.html"
    audit([_evil_session(tmp_path / "s", color_bundle)], AuditOptions(report=target))
    page = _Page(target.read_text())
    assert "script" not in page.tags
    assert "x" not in page.loaded
    for label in EVIL[:3]:
        assert label in page.text
    assert "picture not kept" in page.text


def test_a_session_without_labels_gets_a_page_too(color_bundle, color_folders, tmp_path):
    session = record_folder(tmp_path / "s", color_bundle, color_folders.field, truth=False)
    target = tmp_path / "r.html"
    audit([session], AuditOptions(report=target))
    text = _Page(target.read_text()).text
    assert "no field labels" in text
    assert "--truth" in text


def test_hundreds_of_classes_still_give_a_page(color_bundle, tmp_path):
    session = _evil_session(tmp_path / "s", color_bundle)
    head = json.loads((session / "session.json").read_text())
    count = 300
    labels = [f"class {k:03d}" for k in range(count)]
    diagonal = [[3 * (i == j) for j in range(count)] for i in range(count)]
    head["card"]["labels"] = labels
    head["card"]["prior"] = [1 / count] * count
    head["card"]["lab"] |= {"correct": 3 * count, "total": 3 * count, "confusion": diagonal}
    (session / "session.json").write_text(json.dumps(head))
    lines = []
    for k in range(count):
        scores = [0.001] * count
        scores[k if k % 3 else 0] = 0.701
        lines += [frame_event(k, scores), truth_event(k, labels[k])]
    log = "".join(json.dumps(line) + "\n" for line in lines)
    (session / "events.jsonl").write_text(log)
    target = tmp_path / "r.html"
    report = audit([session], AuditOptions(report=target))
    assert report.live.tally.total == count
    assert target.stat().st_size < 3_000_000


def test_a_report_that_cannot_be_written_leaves_nothing(session, tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        audit([session], AuditOptions(report=tmp_path))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        audit([session], AuditOptions(report=tmp_path / "file" / "r.html"))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_device_without_jinja2_audits_but_names_what_a_page_needs(session, tmp_path):
    """In a fresh interpreter in which neither jinja2 nor matplotlib can be imported."""
    code = """
import sys
for name in ("jinja2", "matplotlib", "scipy", "sklearn", "tensorflow", "keras"):
    sys.modules[name] = None
import edgecnn
from pathlib import Path
from edgecnn.audit.result import AuditOptions
from edgecnn.errors import MissingRuntimeError
report = edgecnn.audit([sys.argv[1]])
assert report.to_text() and report.to_json()["gap_points"] is not None
try:
    edgecnn.audit([sys.argv[1]], AuditOptions(report=Path(sys.argv[2])))
except MissingRuntimeError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(session), str(tmp_path / "r.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "pip install jinja2" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.env
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")
def test_a_real_browser_lays_the_page_out_without_a_request_or_a_console_message(written):
    """The page at a phone's width: nothing sticks out, every picture decodes, nothing is loaded."""
    report, target = written
    page = target.read_text().replace(
        "default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'"
    )
    probe = """<script>addEventListener("load", () => {
      const images = [...document.images];
      const wide = document.documentElement.scrollWidth - innerWidth;
      const broken = images.filter(i => !i.complete || !i.naturalWidth).length;
      const loaded = performance.getEntriesByType("resource")
        .filter(e => !e.name.startsWith("data:")).length;
      document.title = `images ${images.length} broken ${broken} wide ${wide} loaded ${loaded}`;
    });</script></body>"""
    with tempfile.TemporaryDirectory() as profile:
        probed = Path(profile) / "page.html"
        probed.write_text(page.replace("</body>", probe))
        command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update"]
        command += ["--disable-sync", f"--user-data-dir={profile}/user", "--window-size=500,900"]
        command += ["--virtual-time-budget=5000", "--dump-dom", probed.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    title = re.search(r"<title>(.*?)</title>", done.stdout).group(1)
    found = re.fullmatch(r"images (\d+) broken 0 wide (-?\d+) loaded 0", title)
    assert found, title
    assert int(found[1]) >= 8
    assert int(found[2]) <= 0
    assert f"{100 * report.live.tally.accuracy:.1f} %" in done.stdout
    assert f"{100 * report.lab.float_tally.accuracy:.1f} %" in done.stdout


@pytest.mark.env
@pytest.mark.parametrize("name", ["device-litert", "device-tflite-runtime"])
def test_the_device_installs_audit_alike(name, env_python, session, color_bundle, color_folders):
    """numpy 1 or 2, OpenCV 4.11 or 5, tflite-runtime or ai-edge-litert, no TensorFlow."""
    code = """
import json, sys
from pathlib import Path
import edgecnn
from edgecnn.audit.result import AuditOptions
options = AuditOptions(bundle=Path(sys.argv[2]), lab=(Path(sys.argv[3]),))
print(json.dumps(edgecnn.audit([sys.argv[1]], options).to_json()))
"""
    arguments = [str(session), str(color_bundle), str(color_folders.lab)]
    done = subprocess.run(
        [str(env_python(name)), "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(Path(edgecnn.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    here = audit([session], AuditOptions(bundle=color_bundle, lab=(color_folders.lab,))).to_json()
    there = json.loads(done.stdout)
    for key in ("lab", "live", "gap_points", "confusion"):
        assert there[key] == here[key]
    assert there["ledger"][1]["points"] == pytest.approx(here["ledger"][1]["points"], abs=0.5)


def test_a_report_of_several_sites_names_them(tmp_path):
    sites = ["Graz", "Linz", "Wien", "Ulm", "Graz"]
    sessions = [
        write_session(tmp_path / f"s{k}", PAST_BUNDLE, [answer_event(k, True)], site=site)
        for k, site in enumerate(sites)
    ]
    target = tmp_path / "r.html"
    for few, said in ((sessions[:2], "2 sites: Graz, Linz"), (sessions[::4], "site Graz")):
        audit(few, AuditOptions(report=target))
        assert f"device pi · {said} · " in _Page(target.read_text()).text
    audit(sessions, AuditOptions(report=target))
    page = _Page(target.read_text()).text
    assert "4 sites: Graz, Linz, Wien and 1 more" in page
    assert "Each device" in page
    assert "pi, Graz" in page
    named = [
        write_session(tmp_path / name, PAST_BUNDLE, [answer_event(k, True)], name=name)
        for k, name in enumerate(("hall", "yard"))
    ]
    with open(named[1] / "events.jsonl", "a") as log:
        log.write(json.dumps(truth_event(1, LABELS[0])) + "\n")
    audit(named, AuditOptions(report=target))
    page = " ".join(_Page(target.read_text()).text.split())
    assert "2 devices: hall, yard" in page
    assert page.index("Each device") < page.index("yard100.0 % of 1") < page.index("hallno field")
