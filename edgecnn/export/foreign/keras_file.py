"""Keras models as people keep them: a .keras or .h5 file, or a SavedModel folder."""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgecnn.errors import ModelError, one_line
from edgecnn.export.foreign.keras2_config import translate
from edgecnn.export.foreign.lambdas import without_preprocessing
from edgecnn.export.foreign.quantization_aware import (
    holds_wrappers,
    keep_own_weights,
    unwrap,
)
from edgecnn.export.foreign.saved_model import without_slots
from edgecnn.model.networks.adopt import as_float32, settle, unknown_class
from edgecnn.model.networks.small import importable_here
from edgecnn.quiet import quiet

__all__ = ["is_keras_file", "load_keras_file"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_PB = "saved_model.pb"
_AS_SAVED_MODEL = (
    'write model.export("FOLDER") where the model was made (model.save("FOLDER") in Keras 2), and '
    "export that SavedModel folder"
)
# What Keras raises for a file that is damaged or of another version, or for code that is missing.
_REFUSED = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, EOFError)


_Change = Callable[[dict[str, Any]], bool]


def is_keras_file(path: Path) -> bool:
    """Whether this is a .keras or .h5 file or a SavedModel folder (a MODEL folder is neither)."""
    return path.is_file() or (path / _PB).is_file()


def load_keras_file(
    path: Path,
    custom: str | None = None,
    normalize: str = "none",
    notes: list[str] | None = None,
) -> Any:
    """Load a model for inference, in float32.

    Code is never taken from the file: a Lambda layer in it is refused, but for preprocess_input
    of keras.applications, which is replaced by what it computes.

    Args:
        path: A .keras or .h5 file of Keras 3 or Keras 2, or a SavedModel folder.
        custom: A module of the current folder, or an installed one, that defines the model's own
            layers and functions.
        normalize: What --normalize says: it takes the place of preprocess_input.
        notes: Takes a line on what was replaced.

    Returns:
        A keras.Model with one input and one output.

    Raises:
        ModelError: Not such a file, or one that Keras 3 can't load.
    """
    if path.is_dir():
        return _load_saved_model(path)
    _check_kind(path)
    with quiet():  # TensorFlow speaks when it is first imported
        import keras
    with quiet(), importable_here(), tempfile.TemporaryDirectory() as folder:
        objects = _custom_objects(custom) if custom else {}
        known = objects

        def change(config: dict[str, Any]) -> bool:
            return without_preprocessing(config, normalize, custom, said)

        said = [] if notes is None else notes
        try:
            if path.suffix.lower() == ".keras":
                source = _changed_keras(path, Path(folder, "model.keras"), change)
            else:
                old = _is_keras2_h5(path)
                source = _changed_h5(path, Path(folder, "model.h5"), change, old=old, said=said)
                # Keras 3 knows this name for the outermost model only.
                known = {"Functional": keras.Model, **objects} if old else objects
            if source.suffix != source.suffix.lower():  # Keras takes no .H5
                source = Path(shutil.copyfile(source, Path(folder, f"model{path.suffix.lower()}")))
            model = keras.saving.load_model(source, custom_objects=known, compile=False)
        except (*_REFUSED, zipfile.BadZipFile) as error:
            raise ModelError(
                f"Keras {keras.__version__} can't load {path}: {_why(error)}"
            ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} holds a {type(model).__name__}, expected a whole Keras model")
    settle(model)  # Keras leaves out the layers of inner networks where it reads a .h5 file
    with keras.saving.custom_object_scope(objects):
        return as_float32(model)


def _check_kind(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from error
    suffix = path.suffix.lower()
    fits = {
        ".keras": zipfile.is_zipfile(path),
        ".h5": head == _HDF5,
        ".hdf5": head == _HDF5,
    }
    if suffix not in fits:
        raise ModelError(
            f"{path} is no Keras model, expected a MODEL folder, a .keras or .h5 file or a "
            "SavedModel folder"
        )
    if not fits[suffix]:
        other = "an HDF5 file: rename it to .h5" if head == _HDF5 else "damaged or cut off"
        if zipfile.is_zipfile(path):
            other = "a zip file: if it is a Keras model, rename it to .keras"
        raise ModelError(f"{path} is not what its name says ({other}); copy or save it again")
    if path.name.endswith(".weights.h5"):
        raise ModelError(f"{path} holds weights without a network; save the model: model.save(...)")


def _why(error: BaseException) -> str:
    """Keras's reason in a line, and the way out that fits it."""
    text = one_line(error, 10_000)
    if isinstance(error, OSError | EOFError | zipfile.BadZipFile):
        return f"{text[:200]}; the file is damaged, copy or save it again"
    if "No model config found" in text:
        return "it holds weights without a network; save the whole model: model.save(...)"
    unknown = unknown_class(error)
    if "OpLambda" in text:  # of Keras 2: TFOpLambda, SlicingOpLambda
        return f"it holds TensorFlow operations between its layers; {_AS_SAVED_MODEL}"
    if "MultiHeadAttention" in text:
        return f"Keras 2 calls its MultiHeadAttention in another way; {_AS_SAVED_MODEL}"
    if unknown == "Functional":
        return "Keras 2 wrote it in a format of its own; save it there as .h5 or as a SavedModel"
    if unknown:
        return (
            f"it holds {unknown!r}, which Keras 3 does not know; name the module that defines it "
            f"with --custom, or {_AS_SAVED_MODEL}"
        )
    if "Lambda" in text:
        return "it holds a Lambda layer, and edgecnn runs no code from a file; " + _AS_SAVED_MODEL
    return f"{text[:200]}; {_AS_SAVED_MODEL}"


def _custom_objects(module_name: str) -> dict[str, Any]:
    """The layers and functions of a module, by the names that a file knows them by."""
    try:
        module = importlib.import_module(module_name.removesuffix(".py"))
    except Exception as error:  # importing runs the user's own code
        raise ModelError(
            f"can't import {module_name!r} for the model's own layers: {type(error).__name__}: "
            f"{one_line(error)}"
        ) from error
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) or (inspect.isclass(value) and hasattr(value, "from_config"))
    }


def _load_saved_model(path: Path) -> Any:
    """A SavedModel's serving signature as the only layer of a Keras model."""
    with quiet():
        import keras
        import tensorflow as tf

        try:
            with without_slots(path) as bare:
                loaded = tf.saved_model.load(str(bare))
        except (*_REFUSED, RuntimeError, tf.errors.OpError) as error:
            raise ModelError(
                f"TensorFlow can't load the SavedModel {path}: {one_line(error)}; copy the whole "
                "folder, or save it again"
            ) from error
        name, function = _signature(path, loaded)
        ends = _ends(path, name, function)
        image = keras.Input(tuple(ends[1].shape[1:]), name="image")
        return keras.Model(image, _saved_layer(loaded, function, ends)(image), name=path.name)


def _signature(path: Path, loaded: Any) -> tuple[str, Any]:
    names = list(getattr(loaded, "signatures", {}))
    wanted = "serving_default" if "serving_default" in names else names[0] if names else None
    if wanted is None or (wanted != "serving_default" and len(names) > 1):
        raise ModelError(
            f"the SavedModel {path} has signatures {', '.join(names) or 'none'}, expected "
            "serving_default; save it with model.export(...), or what is no Keras model with "
            "tf.saved_model.save(..., signatures=FUNCTION)"
        )
    return wanted, loaded.signatures[wanted]


def _ends(path: Path, name: str, function: Any) -> tuple[str, Any, str]:
    """Name and spec of the one image that goes in, and the name of the one output."""
    inputs = dict(function.structured_input_signature[1])
    outputs = dict(function.structured_outputs)
    spec: Any = next(iter(inputs.values()), None)
    ok = (
        len(inputs) == len(outputs) == 1
        and spec.shape.rank == 4
        and (spec.dtype.is_floating or spec.dtype.is_integer)
    )
    if not ok:
        found = ", ".join(f"{k} {s.dtype.name} {s.shape}" for k, s in inputs.items())
        raise ModelError(
            f"signature {name} of the SavedModel {path} takes {found or 'nothing'} and gives "
            f"{len(outputs)} outputs, expected one image (None, height, width, 3) and one output"
        )
    if spec.shape[0] not in (None, 1):
        raise ModelError(
            f"the SavedModel {path} takes {spec.shape[0]} images at a time, expected any number "
            "or one; save it with a batch of None"
        )
    return next(iter(inputs)), spec, next(iter(outputs))


def _saved_layer(loaded: Any, function: Any, ends: tuple[str, Any, str]) -> Any:
    import keras
    import tensorflow as tf

    argument, spec, output = ends

    class SavedModelLayer(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, name: str = "saved_model") -> None:
            super().__init__(name=name, trainable=False, autocast=False)
            self.kept_alive = loaded  # the function alone does not hold its variables

        def call(self, x: Any) -> Any:
            if spec.shape[0] is None or x.shape[0] == 1:
                return self._run(x)
            answer = tf.TensorSpec(function.structured_outputs[output].shape[1:], tf.float32)
            return tf.map_fn(lambda one: self._run(one[None])[0], x, fn_output_signature=answer)

        def _run(self, batch: Any) -> Any:
            scores = function(**{argument: tf.cast(batch, spec.dtype)})[output]
            return tf.cast(scores, tf.float32)

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name}

    return SavedModelLayer()


def _is_keras2_h5(path: Path) -> bool:
    """Whether Keras 2 wrote this .h5 model.

    Raises:
        OSError: A damaged file.
    """
    import h5py

    with h5py.File(path) as file:
        version = file.attrs.get("keras_version", b"")
    return (version.decode() if isinstance(version, bytes) else str(version)).startswith("2")


def _changed_h5(path: Path, target: Path, change: _Change, *, old: bool, said: list[str]) -> Path:
    """A copy of a .h5 model whose configuration was changed, or the file itself; weights stay."""
    import h5py

    with h5py.File(path) as file:
        text = file.attrs.get("model_config")
    if text is None:  # it holds weights only, and Keras says so
        return path
    text = text.decode() if isinstance(text, bytes) else str(text)
    aware = holds_wrappers(text)
    config = unwrap(json.loads(text)) if aware else json.loads(text)
    if not change(config) and not old and not aware:
        return path
    shutil.copyfile(path, target)
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = json.dumps(translate(config) if old else config)
        if aware:
            keep_own_weights(file["model_weights"])
    if aware:
        said.append(
            "it was trained quantization-aware: its weights are read, and its rounding is left "
            "to the export"
        )
    return target


def _changed_keras(path: Path, target: Path, change: _Change) -> Path:
    """A copy of a .keras file whose configuration was changed, or the file itself."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        about = json.loads(archive.read("metadata.json"))
        old = str(about.get("keras_version", "")).startswith("2")
        if not change(config) and not old:
            return path
        config = translate(config, packed=True) if old else config
        with zipfile.ZipFile(target, "w") as copy:
            for name in archive.namelist():
                data = json.dumps(config).encode() if name == "config.json" else archive.read(name)
                copy.writestr(name, data)
    return target
