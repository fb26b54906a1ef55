"""Class names of images by MediaPipe Tasks, from a .tflite file as it is; no edgecnn here.

python mediapipe_classify.py model.tflite FOLDER   ->   {"NAME": "label", ...}
"""

import json
import sys
from pathlib import Path


def main(path, folder):
    # In here, because pytest imports every file of tests/ for its doctests.
    import mediapipe
    from mediapipe.tasks import python
    from mediapipe.tasks.python import vision

    options = vision.ImageClassifierOptions(
        base_options=python.BaseOptions(model_asset_path=str(path))
    )
    answers = {}
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for file in sorted(folder.iterdir()):
            image = mediapipe.Image.create_from_file(str(file))
            answers[file.name] = (
                classifier.classify(image).classifications[0].categories[0].category_name
            )
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
