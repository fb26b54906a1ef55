"""Which folders are splits, which are classes, and which only wrap others.

Data sets come as `Train/cat/1.jpg`, `seg_train/seg_train/cat/1.jpg`, `archive/data/valid/cat/1.jpg`
or `cat/train/1.jpg`. Splits are recognized by their names (train, validation, Testing, dev, ...)
together with the structure: the folders below two splits bear the same names, the classes. A class
may be called `train`. Folders such as fold1, fold2 above the classes are groups.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from edgecnn.errors import DataError
from edgecnn.files.spelling import spelt
from edgecnn.words import number

__all__ = ["SPLITS", "Layout", "Place", "find_layout", "split_role"]

SPLITS = ("train", "val", "test")
_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "learn", "learning", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "evaluation", "eval", "holdout", "heldout"), "test"),
    # German, French, Spanish, Portuguese and Italian, Dutch, Russian, Chinese and Japanese
    **dict.fromkeys(("trainings", "entrainement", "apprentissage", "entrenamiento"), "train"),
    **dict.fromkeys(
        ("treino", "treinamento", "addestramento", "обучение", "训练", "訓練"), "train"
    ),
    **dict.fromkeys(("validierung", "validierungs", "validacion", "validacao"), "val"),
    **dict.fromkeys(("validazione", "validatie", "валидация", "验证", "驗證", "検証"), "val"),
    **dict.fromkeys(("tests", "prueba", "pruebas", "teste", "testes", "тест", "测试"), "test"),
    **dict.fromkeys(("測試", "テスト"), "test"),
}
_NEUTRAL = frozenset(
    {"set", "data", "dataset", "image", "images", "img", "imgs", "photo", "photos", "picture"}
    | {"pictures", "sample", "samples", "split", "part", "folder", "dir", "directory", "files"}
    | {"daten", "bilder", "datos", "dados", "imagenes", "imagens", "集", "セット", "データ"}
)
# Folders that are numbered parts of one data set and no classes: fold1, fold2, ...
_PARTS = frozenset(
    {"fold", "kfold", "cv", "batch", "chunk", "part", "split", "session", "run", "day", "site"}
    | {"camera", "cam", "device", "phone", "sensor"}
)
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
# Words written together, as in "trainset" and "testimages".
_JOINED = re.compile(rf"({'|'.join(_WORDS)})({'|'.join(_NEUTRAL)})")
_MOST_NAMED = 4

Place = tuple[str | None, tuple[str, ...]]
"""The split (train, val, test or None) and the folders below it; the first is the class."""


@dataclass(frozen=True)
class Layout:
    """Where the images of a data set lie.

    places  of each path; None: an image without a class that is passed over, which a note says
    notes   what was recognized, a line each
    """

    places: tuple[Place | None, ...]
    notes: tuple[str, ...] = ()


def split_role(name: str) -> tuple[str, str] | None:
    """The split that a folder's name names, and the words beside it; None: it names none.

    Example:
        >>> split_role("Training"), split_role("seg_test"), split_role("trainval2012")
        (('train', ''), ('test', 'seg'), ('train', ''))
        >>> split_role("cat"), split_role("train_test")
        (None, None)
    """
    words: list[str] = []
    # Without accents: "entraînement" is written with and without.
    bare = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", name))
    for piece in _PIECE.findall(unicodedata.normalize("NFC", bare)):
        joined = _JOINED.fullmatch(piece.lower())
        words += joined.groups() if joined else [piece.lower()]
    named = [word for word in words if word in _WORDS]
    if [_WORDS[word] for word in named] == ["train", "val"]:
        named = named[:1]  # the part that is not for the test
    if len(named) != 1:
        return None
    other = [w for w in words if w not in _WORDS and w not in _NEUTRAL and not w.isdigit()]
    return _WORDS[named[0]], " ".join(other)


def find_layout(paths: Sequence[tuple[str, ...]], known: Collection[str] = ()) -> Layout:
    """Tell splits, classes and wrappers apart.

    Args:
        paths: The parts of each image's path below the data's root, the file's name at the end.
        known: Labels that are known: a folder of such a name is a class.

    Raises:
        DataError: Splits without class folders, or folders that may be either.
    """
    notes: list[str] = []
    paths = [tuple(spelt(part, known) for part in parts) for parts in paths]
    rest, wrapper = _unwrapped(paths, known)
    if wrapper:
        notes.append(f"the class folders were found in {wrapper}/")
    below = _children(rest)
    roles = _split_folders(below, known)
    if roles:
        places = _in_splits(rest, roles, known, notes)
    elif _are_parts(below):
        notes.append(
            f"{_few(below)} were taken as groups of images, the folders in them as classes"
        )
        places = [(None, (*parts[1:2], parts[0], *parts[2:-1])) for parts in rest]
    elif inner := _splits_in_classes(rest):
        shown = ", ".join(sorted(inner))
        notes.append(f"the folders {shown} in the class folders were taken as splits")
        places = [
            (inner[parts[1]], (parts[0], *parts[2:-1]))
            if len(parts) > 2 and parts[1] in inner
            else (None, parts[:-1])
            for parts in rest
        ]
    elif named := _classes_in_names(below):
        notes.append(f"folders such as {next(iter(named))} were taken as a class and a split")
        places = [(named[parts[0]][0], (named[parts[0]][1], *parts[1:-1])) for parts in rest]
    else:
        _refuse_loose_splits(below)
        places = _in_classes(rest, below, known, notes)
    return Layout(tuple(places), tuple(notes))


def _unwrapped(
    paths: Sequence[tuple[str, ...]], known: Collection[str]
) -> tuple[list[tuple[str, ...]], str]:
    """The paths without the folders that hold nothing but one other, and these folders."""
    rest, wrapper = list(paths), []
    while len(tops := {parts[0] for parts in rest}) == 1 and min(map(len, rest)) > 2:
        (top,) = tops
        inner = {parts[1] for parts in rest}
        role = split_role(top)
        if top in known or (role and not role[1] and len(inner) > 1):
            break
        wrapper.append(top)
        rest = [parts[1:] for parts in rest]
    return rest, "/".join(wrapper)


def _children(paths: Iterable[tuple[str, ...]]) -> dict[str, set[str]]:
    """The folders in each top folder; "" stands for images directly in it."""
    found: dict[str, set[str]] = defaultdict(set)
    for parts in paths:
        if len(parts) > 1:
            found[parts[0]].add(parts[1] if len(parts) > 2 else "")
    return found


def _split_folders(below: dict[str, set[str]], known: Collection[str]) -> dict[str, str]:
    """The split of each top folder that is one; empty: the top folders are classes."""
    named = {top: role for top in below if (role := split_role(top)) and top not in known}
    named = {top: role for top, role in named.items() if not role[1] or _shared(role[1], named)}
    holding = {top for top in named if below[top] - {""}}
    if not holding:
        return {}
    roles = {top: role for top, (role, _) in named.items()}
    others = {top for top in below if top not in named and below[top] - {""}}
    alike = {top for top in others if any(_alike(below[top], below[t]) for t in holding)}
    rest = sorted(set(below) - set(named))
    if len(set(roles.values())) > 1 or not rest:
        return {**roles, **dict.fromkeys(alike, "train")}
    if len(rest) > 1 or (others and not alike):
        return {}
    one = min(holding)
    raise DataError(
        f"{one}/ holds the folders {_few(below[one])}, and beside it is {rest[0]}/, expected "
        "splits or classes; if both are splits, name them train, val or test; if both are "
        f"classes, move the images of {one}/ out of its folders"
    )


def _are_parts(below: dict[str, set[str]]) -> bool:
    """Whether the top folders are numbered parts of one data set, each with the same classes.

    Raises:
        DataError: Each of them holds splits, as those of a cross-validation do.
    """
    pieces = [[piece.lower() for piece in _PIECE.findall(top)] for top in below]
    words = {" ".join(own[:-1]) for own in pieces if len(own) > 1 and own[-1].isdigit()}
    numbered = len(below) > 1 and len(words) == 1 and all(own[-1].isdigit() for own in pieces)
    shared = set.intersection(*below.values()) - {""} if below else set()
    if not numbered or not words <= _PARTS or len(shared) < 2:
        return False
    if all(split_role(name) for name in shared):
        raise DataError(
            f"{_few(below)} hold the splits {_few(shared)} each, expected one of each split; give "
            f"one of these folders alone, such as {min(below)}"
        )
    return True


def _in_classes(
    paths: Sequence[tuple[str, ...]],
    below: dict[str, set[str]],
    known: Collection[str],
    notes: list[str],
) -> list[Place | None]:
    """The top folders are the classes, or the ones below them where these alone are known."""
    inner = set().union(*below.values())
    if inner and inner <= set(known) and not set(below) & set(known):
        notes.append(f"the folders in {_few(below)} were taken as the classes")
        return [
            (None, (parts[1], parts[0], *parts[2:-1]) if len(parts) > 2 else ()) for parts in paths
        ]
    again = {top for top in below if len(below[top]) > 1 and below[top] <= set(below) - {top}}
    if again:
        count = sum(parts[0] in again for parts in paths)
        notes.append(
            f"{_few(again)}/ is passed over with its {number(count, 'image')}: its folders bear "
            "the names of those beside it, as those of a copy"
        )
        return [None if parts[0] in again else (None, parts[:-1]) for parts in paths]
    splits = {name: role[0] for name in inner if (role := split_role(name)) and not role[1]}
    shared = set.intersection(*below.values()) - {""} if len(below) > 1 else set()
    deeper = [top for top in below if len(below[top] - {""}) > 1]
    if len(set(splits.values())) > 1:
        notes.append(f"the folders {_few(splits)} are not in all classes: not taken as splits")
    elif len(shared) > 1:
        notes.append(
            f"{_few(below)} were taken as the classes; all of them hold the folders "
            f"{_few(shared)}: if these are the classes, name the folders above them train, val and "
            "test, or give one of them alone"
        )
    elif len(deeper) == 1 < len(below) and not any(
        below[t] - {""} for t in below if t != deeper[0]
    ):
        notes.append(
            f"{_few(below)} were taken as the classes; {deeper[0]} alone holds folders "
            f"({_few(below[deeper[0]])}): if these are the classes, give {deeper[0]} alone"
        )
    return [(None, parts[:-1]) for parts in paths]


def _shared(words: str, named: dict[str, tuple[str, str]]) -> bool:
    """Whether two different splits bear these words beside their name, as seg_train, seg_test."""
    return len({role for role, other in named.values() if other == words}) > 1


def _alike(first: set[str], second: set[str]) -> bool:
    """Whether most of the folders in both bear the same names."""
    shared = (first & second) - {""}
    return bool(shared) and 2 * len(shared) >= min(len(first - {""}), len(second - {""}))


def _in_splits(
    paths: Sequence[tuple[str, ...]],
    roles: dict[str, str],
    known: Collection[str],
    notes: list[str],
) -> list[Place | None]:
    inside: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for parts in paths:
        inside[parts[0] if len(parts) > 1 else ""].append(parts[1:])
    skip = {top: _wrappers(inside[top], inside, top, roles) for top in roles if top in inside}
    places: list[Place | None] = []
    passed: dict[str, int] = defaultdict(int)
    for parts in paths:
        top, folders = parts[0], parts[1:-1]
        if len(parts) == 1:
            places.append((None, ()))
        elif top not in roles or (not folders[skip[top] :] and _all_loose(inside[top], skip[top])):
            passed[top] += 1
            places.append(None)
        else:
            places.append((roles[top], folders[skip[top] :]))
    places = _without_other_classes(paths, places, known, passed)
    read = {parts[0] for parts, place in zip(paths, places, strict=True) if place is not None}
    if any(top.lower() != role or skip.get(top) for top, role in roles.items() if top in read):
        said = (
            f"{'/'.join([top, *inside[top][0][: skip[top]]])} as {roles[top]}"
            for top in skip
            if top in read
        )
        notes.append(f"splits were recognized: {', '.join(sorted(said))}")
    notes += [
        f"{top}/ is passed over with its {number(count, 'image')}: no class folders of a split"
        for top, count in sorted(passed.items())
    ]
    return places


def _without_other_classes(
    paths: Sequence[tuple[str, ...]],
    places: list[Place | None],
    known: Collection[str],
    passed: dict[str, int],
) -> list[Place | None]:
    """Pass over a split whose only folder is no class of train, as test/unknown/1.jpg.

    Raises:
        DataError: A split holds several folders, and none of them is a class of train.
    """
    classes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for parts, place in zip(paths, places, strict=True):
        if place is not None and place[0] and place[1]:
            classes[place[0], parts[0]].add(place[1][0])
    trained = set().union(*(names for (role, _), names in classes.items() if role == "train"))
    usual = trained | set(known)
    strange = {top: names for (_, top), names in classes.items() if not names & usual}
    if len(trained) < 2 or not strange:
        return places
    for top, names in strange.items():
        if len(names) > 1:
            raise DataError(
                f"{top}/ holds the folders {_few(names)} and train holds {_few(trained)}, expected "
                "the same classes in both; give the folders the same names"
            )
    for k, parts in enumerate(paths):
        if parts[0] in strange and places[k] is not None:
            places[k] = None
            passed[parts[0]] += 1
    return places


def _all_loose(inner: list[tuple[str, ...]], skip: int) -> bool:
    return all(len(parts) == skip + 1 for parts in inner)


def _wrappers(
    inner: list[tuple[str, ...]],
    inside: dict[str, list[tuple[str, ...]]],
    top: str,
    roles: dict[str, str],
) -> int:
    """How many folders below a split only wrap its classes: 1 for seg_train/seg_train/cat."""
    elsewhere = {p[0] for t, ps in inside.items() if t in roles and t != top for p in ps if p[1:]}
    skip = 0
    while True:
        names = {parts[skip] if len(parts) > skip + 1 else "" for parts in inner}
        name = next(iter(names))
        again = name == top or (split_role(name) or ("", ""))[0] == roles[top]
        deeper = any(len(parts) > skip + 2 for parts in inner)
        if len(names) > 1 or not name or not (deeper or again):
            return skip
        if name in elsewhere and not again and not _wraps_all(inside):
            return skip
        skip += 1


def _wraps_all(inside: dict[str, list[tuple[str, ...]]]) -> bool:
    """Whether every top folder holds one and the same folder, as train/images and test/images."""
    return len({parts[0] for inner in inside.values() for parts in inner}) == 1


def _splits_in_classes(paths: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """The split of each folder in the class folders, where all of these are splits."""
    second = {parts[1] for parts in paths if len(parts) > 2}
    roles = {name: role[0] for name in second if (role := split_role(name)) and not role[1]}
    classes = {parts[0] for parts in paths if len(parts) > 2}
    whole = len(roles) == len(second) and len(set(roles.values())) > 1 and len(classes) > 1
    return roles if whole and all(len(parts) > 2 for parts in paths) else {}


def _classes_in_names(below: dict[str, set[str]]) -> dict[str, tuple[str, str]]:
    """(split, class) of folders such as cat_train, cat_test, dog_train, dog_test."""
    named = {top: role for top in below if (role := split_role(top)) and role[1]}
    classes = {other for _, other in named.values()}
    whole = len(named) == len(below) and len(classes) > 1
    return named if whole and all(_shared(other, named) for other in classes) else {}


def _refuse_loose_splits(below: dict[str, set[str]]) -> None:
    """Refuse train/1.jpg and test/2.jpg, which would be read as two classes."""
    roles = {top: role for top in below if (role := split_role(top)) and not role[1]}
    if len(below) > 1 and len(roles) == len(below) and len({r for r, _ in roles.values()}) > 1:
        raise DataError(
            f"the folders {', '.join(sorted(below))} are splits with images directly in them, "
            "expected class folders; make one folder for each class in each of them, or name the "
            "labels with --manifest FILE.csv (columns file and label)"
        )


def _few(names: Collection[str]) -> str:
    shown = sorted(name for name in names if name)
    return ", ".join(shown[:_MOST_NAMED]) + (", ..." if len(shown) > _MOST_NAMED else "")
