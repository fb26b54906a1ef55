"""What a command of the lab says where its libraries are not installed."""

from __future__ import annotations

import pytest

from edgecnn import installed
from edgecnn.errors import MissingRuntimeError
from edgecnn.installed import check_installed


def test_what_is_missing_is_named_as_pip_calls_it(monkeypatch):
    there = {"numpy"}
    monkeypatch.setattr(installed, "find_spec", lambda name: name if name in there else None)
    with pytest.raises(MissingRuntimeError) as error:
        check_installed("training", "numpy", "tensorflow", "sklearn", "PIL")
    assert str(error.value) == (
        "training needs tensorflow, scikit-learn, pillow, not installed here; "
        "pip install '.[lab]' in a clone of edgecnn"
    )


def test_where_all_is_there_nothing_is_said():
    check_installed("training", "numpy", "cv2")
