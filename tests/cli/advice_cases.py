"""What makes each message of status 2 that names an option or a command, and what it advises."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "ELSEWHERE", "Case"]


@dataclass(frozen=True)
class Case:
    """What makes a message, by a part of it, and what it advises.

    Words are typed after `edgecnn`; capitals are the names of `Places`. A right command that would
    take long, such as a training, is only read: its options are checked and nothing is run.
    """

    part: str
    wrong: str
    right: str
    read: bool = False


def read(part: str, wrong: str, right: str) -> Case:
    return Case(part, wrong, right, read=True)


CASES = (
    # Options that contradict each other or have another form.
    read(
        "both --model and --bundle",
        "calibrate F --lab L -o O --model M --bundle B",
        "calibrate F --lab L -o O --bundle B",
    ),
    read(
        "--truth keys needs a window", "run B -s 0 --truth keys", "run B -s 0 --truth keys --window"
    ),
    read(
        "--truth none goes with no other",
        "run B -s 0 --truth none --truth folder",
        "run B -s 0 --truth folder",
    ),
    read(
        "--log and --log-root say the same", "run B -s 0 --log a --log-root b", "run B -s 0 --log a"
    ),
    read(
        "--web and --window show one region",
        "run B -s 0 --roi a=0,0,5,5 --roi b=5,5,5,5 --web 127.0.0.1:8099",
        "run B -s 0 --roi a=0,0,5,5 --roi b=5,5,5,5",
    ),
    read(
        "--max-ms chooses the input",
        "train L -o M --max-ms 4 --width 96 --height 96",
        "train L -o M --max-ms 4",
    ),
    read(
        "--max-ms chooses the input of a pretrained network",
        "train F -o O --network built-in --max-ms 4",
        "train F -o O --network built-in --width 32 --height 32",
    ),
    read(
        "is not of the network {}; leave it out",
        "train F -o O --network efficientnet-lite0 --l2 0.001",
        "train F -o O --network built-in --l2 0.001",
    ),
    read(
        "is of fine-tuning, which --no-fine-tune leaves out",
        "train F -o O --network efficientnet-lite0 --no-fine-tune --epochs 3",
        "train F -o O --network efficientnet-lite0 --epochs 3",
    ),
    read(
        "leaves out an operation that is not in --augment",
        "train F -o O --augment none --without grey",
        "train F -o O --augment none",
    ),
    read(
        "--no-fine-tune trains a classifier",
        "train F -o O --network efficientnet-lite0 --no-fine-tune --weights none",
        "train F -o O --network efficientnet-lite0 --weights none",
    ),
    read("or how long a thing stays in", "run B -s 0 --things often", "run B -s 0 --things 2s"),
    read("-o and --csv are both", "audit S -o x --csv x", "audit S -o x.html --csv x.csv"),
    read(
        "--fail-on alarm needs labels",
        "run B -s 0 --fail-on alarm",
        "run B -s 0 --fail-on alarm --truth folder",
    ),
    read("--every and --max-fps say", "run B -s 0 --every 5s --max-fps 1", "run B -s 0 --every 5s"),
    read(
        "several regions need a name each",
        "run B -s 0 --roi 0,0,1,5 --roi 0,0,2,5",
        "run B -s 0 --roi a=0,0,1,5 --roi b=0,0,2,5",
    ),
    read(
        "is a file, expected a folder or SESSION",
        "adapt M --field RAW -o O",
        "run B --source RAW --log O",
    ),
    read("--reject is {}", "run B -s 0 --reject 2", "run B -s 0 --reject 0.6"),
    read("names no class", "run B -s 0 --reject nobody=0.6", "run B -s 0 --reject 0.6"),
    read("--roi is {}, expected x,y,w,h", "run B -s 0 --roi 5", "run B -s 0 --roi 80,0,480,480"),
    read("--agree is {}", "run B -s 0 --agree 5/3", "run B -s 0 --agree 3/5"),
    read(
        "names nothing; name one",
        "export M --calibration F -o O --config EMPTY",
        "export M --calibration F -o O --formats int8",
    ),
    read(
        "--formats has {}",
        "export M --calibration F -o O --formats micro",
        "export M --calibration F -o O --formats micro,tflite-full-integer",
    ),
    read(
        "--integer-only limits",
        "export M --calibration F -o O --integer-only",
        "export M --calibration F -o O --integer-only --repair",
    ),
    read(
        "says how to compare calibration sets",
        "export M --calibration F -o O --field F",
        "export M --calibration F -o O --field F --compare",
    ),
    read(
        "describes a Keras file of your own",
        "export M --calibration F -o O --normalize unit",
        "export M --calibration F -o O --normalize unit --lab F",
    ),
    read(
        "only one of --width and --height",
        "train F -o O --width 32",
        "train F -o O --width 32 --height 32",
    ),
    read(
        "needs a manifest with that column",
        "train F -o O --by site",
        "train F -o O --by site --manifest t.csv",
    ),
    read(
        "gives an image two labels",
        "train F -o O --add-augmentation mixup --imbalance class_weights",
        "train F -o O --add-augmentation mixup --imbalance balanced_sampling",
    ),
    read(
        "--network is {}, expected",
        "train F -o O --network vgg",
        "train F -o O --network mine:build",
    ),
    read(
        "need a named network",
        "train F -o O --network built-in --no-fine-tune",
        "train F -o O --network efficientnet-lite0 --no-fine-tune",
    ),
    Case("is missing; see `edgecnn {} --help`", "calibrate F -o O", "calibrate --help"),
    Case("{} is missing; see `edgecnn run", "run B", "run --help"),
    Case("{} is missing; see `edgecnn service", "service install", "service --help"),
    Case(
        "a service never ends",
        "service install B --source film.mp4 --print-only",
        "service install B --source 0 --print-only",
    ),
    # Data.
    Case(
        "splits with images directly",
        "inspect LOOSE",
        "inspect LOOSE --manifest LOOSE_CSV --field F -o O",
    ),
    read(
        "is about the bundle of --shadow",
        "run B -s F --switch-when better",
        "run B -s F --switch-when better --shadow B",
    ),
    read(
        "{} is about the bundle of --shadow",
        "run B -s F --shadow-every 5",
        "run B -s F --shadow-every 5 --shadow B",
    ),
    read(
        "both decide which bundle answers",
        "run B -s F --switch-when better --shadow B --bundle-dir LAB",
        "run B -s F --switch-when better --shadow B",
    ),
    read(
        "is of one device; leave it out",
        "adapt M --field S --per device --live S -o O",
        "adapt M --field S --per device -o O",
    ),
    read(
        "--per and --undo don't go together",
        "adapt M --undo --per device -o O",
        "adapt M --undo -o O",
    ),
    read(
        "is a session, expected a folder with one", "train LAB -o O --also S", "harvest S -n 5 -o O"
    ),
    read("is no image of the training", "train LAB -o O --field LAB", "train LAB -o O"),
    read("--also: none of {} images can join", "train LAB -o O --also L", "train LAB -o O"),
    Case("{} is a bundle itself", "run B -s F --bundle-dir B", "run B -s F --bundle-dir LAB"),
    Case("{} is no folder; make it", "run B -s F --bundle-dir O", "run B -s F --bundle-dir LAB"),
    Case(
        "begins a new session with each bundle",
        "run B -s F --bundle-dir LAB --log O",
        "run B -s F --bundle-dir LAB --log-root O",
    ),
    Case(
        "works on the CPU only, and --device",
        "run B -s F --bundle-dir LAB --device edgetpu",
        "run B -s F --bundle-dir LAB",
    ),
    read(
        "is about full-integer files, but --formats names neither",
        "export M --calibration F -o O --formats float32 --repair",
        "export M --calibration F -o O --formats float32,int8 --repair",
    ),
    read(
        "takes every Nth frame of a video, but {} is one",
        "export M --calibration F -o O --video-step 3",
        "export M --calibration F -o O",
    ),
    read(
        "is a column of --manifest",
        "evaluate B F --group site",
        "evaluate B F --group site --manifest T",
    ),
    read(
        "names the labels of images, but no folder DATA",
        "benchmark B --manifest T",
        "benchmark B F --manifest T",
    ),
    read(
        "chooses the file of --soak",
        "benchmark B --artifact float32",
        "benchmark B --artifact float32 --soak 2",
    ),
    Case("belongs to an object detector", "inspect BOXES", "inspect BOXES --manifest BOXES_CSV"),
    Case("of --model and --bundle given", "harvest F -o O", "harvest F --bundle B -o O"),
    read("is a MODEL folder, expected a bundle", "evaluate M F", "export M --calibration F -o O"),
    Case(
        "or look like one that has",
        "harvest S --bundle B -o O",
        "adapt B --field S --labels S -o O",
    ),
    Case("is a bundle, expected a MODEL", "harvest F --model B -o O", "harvest F --bundle B -o O"),
    read(
        "--no-fine-tune needs a pretrained",
        "train F -o O --no-fine-tune",
        "train F -o O --network efficientnet-lite0",
    ),
    read(
        "the input has a side",
        "train F -o O --network mobilenet-v2 --width 16 --height 16",
        "train F -o O --width 16 --height 16",
    ),
    read(
        "names the labels of images; name their folder",
        "adapt M -o O --field F --manifest T",
        "adapt M -o O --field F --manifest T --labels F",
    ),
    read("of --field and --undo given", "adapt M -o O", "adapt M -o O --field F"),
    Case(
        "can't read a camera from", "train F -o O --camera F", "calibrate F --lab L -o O --no-fit"
    ),
    read("holds no fitted ranges", "train F -o O --camera NO_CAMERA", "train F -o O"),
    Case(
        "names causes that this version",
        "train F -o O --camera ODD_CAMERA",
        "calibrate F --lab L -o O --no-fit",
    ),
    Case(
        "not a fitted camera",
        "train F -o O --camera TORN_CAMERA",
        "calibrate F --lab L -o O --no-fit",
    ),
    read("does not exist, so no training", "train F -o O --resume", "train F -o O"),
    # The device.
    Case("or run with --device cpu", "evaluate B F --device edgetpu", "evaluate B F --device cpu"),
    Case("has no kept pictures", "label BARE", "run B -s F --keep-frames 5 --log O"),
    Case("record with --keep-frames, and", "label BARE", "run B -s F --keep-frames 5 --log O"),
    Case("is of one session, but", "audit S S2 --truth T", "audit S --truth T"),
    Case(" needs times, and", "run B -s F --things 2s", "run B -s F --things each"),
    Case("its frames have no times", "audit S --things 2s", "audit S --things each"),
    Case("was recorded with --things", "audit EACH --things looks", "audit EACH"),
    Case(
        "moved by --truth-offset", "run B -s F --truth T --truth-offset -1", "run B -s F --truth T"
    ),
    Case("--merge takes one session", "label S S2 --merge T", "label S --merge T"),
    read("are for folders of images, not", "label S -o O", "label S"),
    read("can't be a class", "label F --classes a/b", "label F --classes ab"),
    Case(
        "is {}, expected a port (9100)",
        "run B -s F --metrics nowhere/",
        "run B -s F --metrics 127.0.0.1:FREE",
    ),
    Case(
        "can't serve metrics",
        "run B -s F --metrics 127.0.0.1:TAKEN",
        "run B -s F --metrics 127.0.0.1:FREE",
    ),
    read("--webhook is {}", "run B -s F --webhook here", "run B -s F --webhook http://here/"),
    read(
        "--mqtt is {}, expected mqtt",
        "run B -s F --mqtt here",
        "run B -s F --mqtt mqtt://u:p@here/t",
    ),
    read(
        "--mqtt is {}, expected a topic",
        "run B -s F --mqtt mqtt://here/t/+",
        "run B -s F --mqtt mqtt://here/home/door",
    ),
    read("which names no host", "run B -s F --mqtt mqtt:///t", "run B -s F --mqtt mqtt://here/t"),
    Case(
        "has no room for two sessions",
        "run B -s F --log-root O --root-mb 100",
        "run B -s F --log-root O --root-mb 640",
    ),
    Case("is inside of the source", "run B -s F --log-root F", "run B -s F --log O"),
    Case("is a file, expected a new folder", "run B -s F --log T", "run B -s F --log O"),
    Case("is a file, expected a folder for", "run B -s F --log-root T", "run B -s F --log-root O"),
    Case("is inside of the session", "run B -s F --log-root S", "run B -s F --log-root O"),
    Case("holds a session already", "run B -s F --log S", "run B -s F --log O"),
    Case("is not empty and not a session", "run B -s F --log L", "run B -s F --log O"),
    Case(
        "carries no time", "run B -s RAW --truth SECONDS", "run B -s RAW --truth SECONDS --fps 10"
    ),
    read("--web is {}", "run B -s F --web no/where", "run B -s F --web 127.0.0.1:FREE"),
    read(
        "can't serve the page at",
        "run B -s F --web 127.0.0.1:TAKEN",
        "run B -s F --web 127.0.0.1:FREE",
    ),
    Case("another input tensor than in the lab", "run RESEALED -s F", "doctor RESEALED"),
    Case(
        "--run-config is {}, which is no file",
        "service install B --source 0 --print-only --run-config O",
        "service install B --source 0 --print-only --run-config EMPTY",
    ),
    # Models of others.
    read(
        "can't be quantized anew",
        "export TFLITE --calibration F -o O",
        "import TFLITE --lab F -o O",
    ),
    Case("is neither a .tflite nor an .onnx", "import T --lab F -o O", "export --help"),
    read(
        "is no .keras or .h5 file",
        "export M --lab F --calibration F -o O",
        "export M --calibration F -o O",
    ),
)

# Not run here: where it is run, or what that would need.
ELSEWHERE = {
    "--shadow {}: {}": "tests/device/test_swap.py",
    "is the bundle that runs": "tests/device/test_swap.py",
    "label pictures with `edgecnn label`": "needs a browser",
    "no session given": "no command line comes so far without a session",
    "record it by `edgecnn run BUNDLE --source LAB": "tests/audit/test_audit_compare.py",
    "is compiled for an Edge TPU and device is": "tests/device/test_load.py",
    "the plot needs matplotlib": "tests/device/test_benchmark.py",
    "is built without GStreamer": "tests/device/test_sources.py",
    "picamera2 found no usable camera": "needs a Raspberry Pi",
    "is no journal of `edgecnn label`": "tests/device/label/test_desks.py",
    "steps off the lab's scores": "its advice is that of a golden frame with another tensor",
    "--mqtt needs paho-mqtt": "needs a machine without paho-mqtt",
    "neither --log nor --log-root is given": "no command line comes so far",
    "no window can be opened": "tests/device/test_panel.py",
    "--reject card": "tests/device/test_outputs.py",
    "can't open windows": "tests/device/test_window.py",
    "systemd does not run here": "tests/device/test_service.py",
    "is the unit of another program": "tests/device/test_service.py",
    "there is no unit": "tests/device/test_service.py",
    "and no session, and would be given to": "tests/device/test_service.py",
    "no page was served yet": "tests/device/web/test_access.py",
    "frames are left to judge the calibration": "tests/export/test_compare.py",
    "can't read the activations": "a network that TFLite can't show the inside of",
    "a Keras model without labels": "tests/export/test_foreign.py",
    "does not exist, expected a MODEL folder": "it names what makes such a folder",
    "values in a row, expected one image": "tests/export/test_keras_file.py",
    "values in a row, which is no colour image": "tests/export/test_fed_wrongly.py",
    "images of any size; fix it with --width and --height, to": "tests/export/test_keras_file.py",
    "pixels and no others": "tests/export/test_keras_file.py",
    "class folders; name the classes": "tests/export/test_foreign.py",
    "its Lambda layer calls preprocess_input": "tests/export/test_keras_file.py",
    "channels; ": "tests/export/test_import.py",
    "images of any size; fix it with --width and --height": "tests/export/test_import.py",
    "lab images are too few to find": "tests/export/test_import.py",
    "answers NaN or infinity": "tests/export/test_import.py",
    "which would cut the values of --normalize": "tests/export/test_import_inputs.py",
    "can't be run on images of": "tests/export/test_import_misread.py",
    "TFLite Micro has no": "tests/export/test_micro.py",
    "expected one without control flow": "tests/export/test_micro.py",
    "expected int8 on both sides": "tests/export/test_micro.py",
    "is no MODEL folder and no bundle; of a Keras model": "tests/adapt/test_foreign_bundle.py",
    "which adapting on a device needs": "needs a bundle of an older edgecnn",
    "holds a network of another program that can't": "tests/adapt/test_foreign_bundle.py",
    "which this network can't be brought to": "tests/export/test_micro.py",
    "of image tensors in": "tests/images/test_tensors.py",
    "for the image tensors; make it": "tests/images/test_tensors.py",
    "--synthesize is ": "tests/train/test_train.py",
    "leave --group out, or name a": "tests/images/test_split.py",
    "which holds the lab images that `edgecnn adapt`": "needs a training",
    "weights of efficientnet-lite0 are not installed": "needs a machine without the weights",
    "is not what `edgecnn train` writes": "it names what makes such a folder",
    "expected a MODEL folder of `edgecnn train`": "it names what makes such a folder",
    "page needs {}": "tests/cli/test_cli.py",
    "expected a folder that `edgecnn run --log`": "it names what makes such a folder",
    "can't use {} as --log": "needs a folder that can't be read",
    "or choose another --log-root": "tests/device/test_log_faults.py",
    "can't write session": "tests/device/test_log_faults.py",
    "every operation of the added augmentation": "tests/train/test_label_check.py",
    "a person has sorted since `edgecnn harvest`": "tests/adapt/test_harvest.py",
    "is of other images or other options": "tests/train/test_resume.py",
    "; add --width {} --height {}, without --max-ms, or": "tests/train/test_resume.py",
    "leave --resume out to begin anew": "tests/train/test_resume.py",
    "use --epochs alone": "tests/train/test_distributed.py",
    "--resume goes on with the training of one": "tests/train/test_distributed.py",
    "so the bundle has no compiled file": "tests/export/test_edgetpu_compiler.py",
    "is a session, expected a folder for each class": "tests/files/test_folders.py",
}
