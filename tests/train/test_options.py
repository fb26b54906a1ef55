"""Options that make no sense are refused before anything is read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgecnn.errors import OptionError
from edgecnn.train.options import TrainOptions


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 2.5},
        {"batch_size": 1},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"dropout": 1.0},
        {"seconds": -1},
        {"width": 8, "height": 8},
        {"width": 32},
        {"resize": "squash"},
        {"augment": "flip"},
        {"imbalance": "smote"},
        {"near_duplicate": 1.5},
        {"test_share": True},
        {"seed": -1},
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(wrong):
    with pytest.raises(OptionError) as error:
        TrainOptions(**wrong)
    assert "expected" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_probe_needs_first_weights():
    with pytest.raises(OptionError, match="but --weights is none"):
        TrainOptions(network="efficientnet-lite0", weights="none", fine_tune=False)


def test_options_survive_json():
    options = TrainOptions(width=64, height=32, manifest="data/manifest.csv", seconds=60)
    assert TrainOptions(**json.loads(json.dumps(options.to_json()))) == options


def test_checking_options_loads_no_tensorflow():
    code = (
        "import sys, edgecnn.train.train as t; t.TrainOptions(); print('tensorflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
