"""Train on several machines at once, as the standard TF_CONFIG says (tf.distribute).

Start the same command on every machine; each process reads the same images. Each works on its
share of every batch, and the gradients are summed before each step (MultiWorkerMirroredStrategy).
The first one, the chief, writes the MODEL folder.

Keras 3.15's `fit` fails under this strategy in two places (keras issue 20585): it reduces the
first batch over workers to learn its shape, and it averages scalar metrics over an axis that they
don't have. `join` does both before `fit` would.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.model.networks.adopt import give_weights

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

__all__ = ["Cluster", "join", "local_copy", "movable", "read_cluster", "strategy_of"]

_EXPECTED = (
    'expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}; '
    "give every machine the same cluster and an index of its own, or unset TF_CONFIG"
)


@dataclass(frozen=True)
class Cluster:
    """The processes that train together: "host:port" of each, the chief first, and our index."""

    members: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def to_text(self) -> str:
        return f"worker {self.index + 1} of {len(self.members)} ({self.members[self.index]})"


def read_cluster(text: str | None = None) -> Cluster | None:
    """Read the cluster from TF_CONFIG (by default the environment's); None: this process is alone.

    Raises:
        ModelError: It is malformed, or has tasks other than chief and worker.
    """
    text = os.environ.get("TF_CONFIG", "") if text is None else text
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {})
        kind, index = task.get("type"), task.get("index")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"TF_CONFIG is {text[:60]!r} ({error}), {_EXPECTED}") from error
    if not isinstance(jobs, dict):
        raise ModelError(f"TF_CONFIG has cluster = {jobs!r}, {_EXPECTED}")
    if not jobs:
        return None
    other = sorted(set(jobs) - {"chief", "worker"})
    if other:
        raise ModelError(f"TF_CONFIG has tasks of type {other[0]!r}, {_EXPECTED}")
    for job, members in jobs.items():
        if not isinstance(members, list) or not all(_is_address(m) for m in members):
            raise ModelError(f"TF_CONFIG has {job} = {members!r}, {_EXPECTED}")
    if kind not in jobs or type(index) is not int or not 0 <= index < len(jobs[kind]):
        raise ModelError(f"TF_CONFIG has the task {task}, not one of its cluster, {_EXPECTED}")
    chiefs = jobs.get("chief", [])
    members = (*chiefs, *jobs.get("worker", []))
    if len(set(members)) < len(members):
        raise ModelError(f"TF_CONFIG names a machine twice ({', '.join(members)}), {_EXPECTED}")
    place = index + (len(chiefs) if kind == "worker" else 0)
    return Cluster(members, place) if len(members) > 1 else None


def _is_address(member: Any) -> bool:
    host, _, port = member.rpartition(":") if isinstance(member, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536


def strategy_of(cluster: Cluster | None) -> tf.distribute.Strategy:
    """Make the strategy for the training; wait until all members have joined.

    Call it before any other TensorFlow code runs.

    Raises:
        ModelError: The members don't find each other.
    """
    import tensorflow as tf

    if cluster is None:
        return tf.distribute.get_strategy()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise ModelError(
            f"{cluster.to_text()} can't join the others ({str(error).splitlines()[0][:150]}), "
            "expected all members within a few minutes; start them all and open their ports"
        ) from error


def movable(model: keras.Model) -> keras.Model:
    """The same network as an object without its own strategy.

    Call it outside the strategy's scope. Keras then leaves the network's state alone (see above).
    """
    import keras

    return keras.Model(model.inputs, model.outputs, name=model.name)


def join(model: keras.Model) -> None:
    """Prepare a compiled model for `fit` under a strategy of several workers; else do nothing."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    inputs = np.zeros((1, *model.input_shape[1:]), np.float32)
    outputs = np.zeros((1, *model.output_shape[1:]), np.float32)
    model._symbolic_build(data_batch=(inputs, outputs))
    model.train_function = _step(strategy, model.train_step)
    model.test_function = _step(strategy, model.test_step)


def _step(strategy: tf.distribute.Strategy, step: Callable[..., Any]) -> Callable[..., Any]:
    """Run a step on every worker and average its metrics."""
    import tensorflow as tf

    def run(iterator: Any) -> Any:
        found = strategy.run(step, args=(next(iterator),))
        return {name: strategy.reduce("MEAN", v, axis=None) for name, v in found.items()}

    function: Callable[..., Any] = tf.function(run)
    return function


def local_copy(model: keras.Model) -> keras.Model:
    """Copy the trained network without the strategy, so that one worker can use it alone.

    Call it outside the strategy's scope.
    """
    copy = type(model).from_config(model.get_config())
    give_weights(copy, model.get_weights())
    return copy
