"""Two processes on loopback train one network, as TF_CONFIG says."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from served import free_port
from some_images import some_of

from edgecnn.errors import ModelError
from edgecnn.train.fitting.cluster import Cluster, read_cluster
from edgecnn.train.train import TrainOptions, train

TWO = {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}
ARGS = ["--width", "16", "--height", "16", "--epochs", "5", "--augment", "none"]
ARGS += ["--batch-size", "32", "--json"]


def config(cluster: object, kind: str = "worker", index: object = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_a_process_without_a_cluster_is_alone():
    assert read_cluster("") is None
    assert read_cluster("{}") is None
    assert read_cluster(config({"worker": ["localhost:1"]})) is None


def test_the_first_member_is_the_chief():
    assert read_cluster(config(TWO)).is_chief
    assert not read_cluster(config(TWO, index=1)).is_chief
    with_chief = {"chief": ["10.0.0.9:1"], **TWO}
    assert read_cluster(config(with_chief, "chief")).is_chief
    assert read_cluster(config(with_chief, "worker", 1)) == Cluster(
        ("10.0.0.9:1", *TWO["worker"]), 2
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "3",
        '{"cluster": []}',
        '{"cluster": {}, "task": 5}',
        config({"worker": "10.0.0.1:2222"}),
        config({"worker": ["10.0.0.1", "10.0.0.2"]}),
        config({"worker": ["10.0.0.1:0", "10.0.0.2:99999"]}),
        config({"worker": ["10.0.0.1:22", "10.0.0.1:22"]}),
        config({"worker": [1, 2]}),
        config({**TWO, "ps": ["10.0.0.3:2222"]}),
        config(TWO, index=2),
        config(TWO, index="0"),
        config(TWO, index=-1),
        config(TWO, kind="chief"),
        json.dumps({"cluster": TWO}),
    ],
)
def test_a_malformed_cluster_is_refused_in_one_line(text):
    with pytest.raises(ModelError, match=r"TF_CONFIG .*expected.*unset TF_CONFIG") as caught:
        read_cluster(text)
    assert "\n" not in str(caught.value)


def test_clocks_that_differ_can_not_end_a_common_run(digits_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(TWO))
    with pytest.raises(ModelError, match=r"2 workers.*epochs"):
        train(digits_folder, tmp_path / "model", TrainOptions(seconds=5))


def start(lab, output, tf_config: str, *args: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "edgecnn", "train", str(lab), "-o", str(output), *args]
    env = {**os.environ, "TF_CONFIG": tf_config, "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory, digits_folder):
    """60 digits of each of four classes: an odd number of images in some last batch."""
    return some_of(digits_folder, tmp_path_factory.mktemp("distributed") / "lab", 60, "0137")


@pytest.mark.long
def test_two_workers_learn_what_one_process_learns(lab, tmp_path):
    members = [f"127.0.0.1:{port}" for port in (free_port(), free_port())]
    outputs = [tmp_path / "chief", tmp_path / "worker", tmp_path / "alone"]
    both = [
        start(lab, outputs[k], config({"worker": members}, index=k), *ARGS[: -1 if k else None])
        for k in range(2)
    ]
    ends = [process.communicate(timeout=400) for process in both]
    alone = start(lab, outputs[2], "", *ARGS)
    ends.append(alone.communicate(timeout=400))
    for process, (_, errors) in zip([*both, alone], ends, strict=True):
        assert process.returncode == 0, errors

    assert (outputs[0] / "model.keras").is_file()
    assert not outputs[1].exists()
    assert ends[1][0].splitlines() == [
        f"worker 2 of 2 ({members[1]}): done, 5 epochs; the first worker writes the model"
    ]
    histories = [(outputs[k] / "history.csv").read_text().splitlines() for k in (0, 2)]
    curves = [[float(row["loss"]) for row in csv.DictReader(lines)] for lines in histories]
    # Batch norm sees half a batch on each worker, and each draws its own dropout. Of three seeds
    # of one process the curves differ by up to 0.1 in an epoch, and begin at 1.1.
    assert np.allclose(*curves, rtol=0, atol=0.1)
    assert curves[0][-1] < 0.3
    assert json.loads(ends[0][0])["lab"]["total"] == json.loads(ends[2][0])["lab"]["total"]
