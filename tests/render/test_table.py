"""Tables of text: nothing of a cell is left out."""

from __future__ import annotations

from edgecnn.render.table import table


def test_a_wide_row_keeps_every_figure():
    row = ("a" * 200, "model_integer_quant_with_int16_act.tflite", "98.24 %", "+0.05")
    lines = table(("name", "file", "lab accuracy", "drop"), [row]).splitlines()
    assert "lab accuracy" in lines[0]
    assert lines[-1].split("   ")[0] == "a" * 200
    assert all(cell in lines[-1] for cell in row)
