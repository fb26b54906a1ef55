"""What one checkout says of the sets of `tools/bench alarms`: run with its path in PYTHONPATH.

    python _bench_alarms_look.py < jobs.json

A job is {"set": NAME, "sound": FOLDER, "swapped": FOLDER, ...}; a line of JSON is written for each.
"""

import json
import os
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def part(*names):
    """The first module that this checkout has: older ones have other rooms."""
    for name in names:
        try:
            return import_module(f"edgecnn.{name}")
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(names[0])


def inspected(folder):
    """The findings, the worst first, and the suspects."""
    found = part("inspect.inspect", "images.inspect").inspect(folder)
    whole = json.loads(json.dumps(found.to_json(), default=str))
    return {
        "images": whole["images"],
        "findings": [f for f in whole["findings"] if f["severity"] != "note"],
        "suspects": [suspect["file"] for suspect in whole["labels"]["suspects"]],
        "held_out": whole["labels"]["held_out"]["accuracy"],
        "expected": whole["labels"]["expected_wrong"],
    }


def grouped(folder):
    """The pictures in 32x32 pixels, and the groups of those that show the same."""
    data = part("inspect.scan", "images.scan").scan_labelled(folder).data
    return data, part("images.split_groups", "images.groups").near_ids(data)[0]


def label_checks(folder):
    """What the default recipe with a mirror does to the labels: the whole set is trained on."""
    rooms = ("train.augmentation.", "model.augmentation.")
    operations = part(*(room + "operations" for room in rooms))
    safe = part(*(room + "label_check" for room in rooms)).safe_augmentation
    recipe = operations.STRENGTHS["default"]
    recipe = replace(recipe, geometry=replace(recipe.geometry, flip=0.5))
    data, groups = grouped(folder)
    start = time.process_time()
    checks = safe(data.tensors, data.classes, recipe, 0, groups=groups)[1]
    took = time.process_time() - start
    return {"checks": [json.loads(json.dumps(c.to_json())) for c in checks], "seconds": took}


def main():
    for job in json.load(sys.stdin):
        found = {"set": job["set"]}
        for kind in ("sound", "swapped", "camera", "copies"):
            found[kind] = inspected(Path(job[kind]) / "set")
        data, groups = grouped(Path(job["copies"]) / "set")
        found["groups"] = {data.name(k): group for k, group in enumerate(groups.tolist())}
        found |= label_checks(Path(job["sound"]) / "set")
        sys.stdout.write("\n" + json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
