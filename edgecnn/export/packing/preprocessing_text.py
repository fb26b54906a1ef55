"""What goes in and what comes out, in words and as JSON, for programs that know no edgecnn."""

from __future__ import annotations

import json

from edgecnn.bundle.spec import InputSpec

__all__ = ["input_json", "preprocessing_text"]

_RESIZE = {
    "stretch": "Resize the whole image to {size}, whatever its aspect ratio.",
    "letterbox": (
        "Scale the whole image by min({width} / width, {height} / height), each side rounded half "
        "up, and centre it on a {size} canvas of colour {pad} (the odd pixel goes right and below)."
    ),
    "center_crop": (
        "Cut out the largest centred window of the aspect ratio {width}:{height} (one side whole, "
        "the other rounded half up, starting at (side - window) // 2) and resize it to {size}."
    ),
}
_HALVING = (
    "To resize: while the image is at least twice too wide and twice too high, cut it to even "
    "sides and halve it (cv2.resize, INTER_LINEAR: the mean of 2x2 pixels); then cv2.resize "
    "with INTER_LINEAR to the size, unless it has that size already."
)


def preprocessing_text(spec: InputSpec) -> str:
    """One paragraph: from an image file to the input tensor, and from the output to the class."""
    size = f"{spec.width}x{spec.height} (width x height)"
    resize = _RESIZE[spec.resize].format(
        size=size, width=spec.width, height=spec.height, pad=list(spec.pad or ())
    )
    direct = f"To resize: cv2.resize with INTER_{spec.interpolation.upper()}."
    return " ".join(
        (
            "Decode the image to 8 bits a channel, upright by its EXIF orientation.",
            resize,
            _HALVING if spec.interpolation == "halving" else direct,
            f"The input is [1, {spec.height}, {spec.width}, 3] in R, G, B order, raw values 0 to "
            "255: no mean is subtracted and nothing is divided, the model does that itself.",
            "A float32 input takes the same values as floats; an integer input takes "
            "round(value / scale) + zero_point (for uint8 the value itself).",
            "The output holds one score for each line of the labels, 0 to 1; an integer output "
            "stands for (q - zero_point) * scale. The class is the highest score; of equal ones "
            "the first.",
        )
    )


def input_json(labels: tuple[str, ...], spec: InputSpec) -> str:
    """The input spec, the labels and the text as one JSON object."""
    return json.dumps(
        {**spec.to_json(), "labels": list(labels), "preprocessing": preprocessing_text(spec)},
        indent=1,
        ensure_ascii=False,
    )
