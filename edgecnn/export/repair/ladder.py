"""`export --repair`: a ladder of repairs, climbed until the integer file is as good as float.

 1 correct the pixels of the calibration set 5 correct the biases for rounded weights
 2 widen it with lab images                  6 leave the worst layers in float
 3 leave the rarest activations out          7 16-bit activations
 4 equalize the layers' channels

Each step starts from the best file so far and is kept only if its file is better: it holds the
gate, agrees with float on more frames or is nearer to its scores. Half of the lab test images,
their labels unread, may serve from step 2 on; the gate is judged on the other half and on held-out
field images.
"""

from __future__ import annotations

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.convert.recipe import Maker, Recipe
from edgecnn.export.judge import FileVerdict
from edgecnn.export.repair.result import Repair, RepairStep
from edgecnn.export.repair.rungs import IMAGE_RUNGS, RUNGS, BestFile, Rung
from edgecnn.export.repair.workshop import Workshop
from edgecnn.records import Progress

__all__ = ["repair"]

_CLIPPED = 0.01  # share of a layer's values on lab images: a healthy set covers all but a few
_SURE = 0.995  # of agreement


def repair(
    shop: Workshop,
    maker: Maker,
    recipe: Recipe,
    made: bytes | None = None,
    progress: Progress | None = None,
) -> Repair:
    """Climb the ladder for one format.

    Args:
        recipe: How the first file is made, of the workshop's images. One scale for all channels of
            a kernel stays so.
        made: That file, where it was made before.

    Raises:
        ModelError: The network can't be converted at all.
    """
    climb = _Climb(shop, maker, recipe, made)
    for number, (name, rung) in enumerate(RUNGS.items()):
        if climb.is_done(name):
            continue
        if progress:
            progress(f"repairing {recipe.format.name}: {name}", number, len(RUNGS))
        climb.take(name, rung)
    return climb.result()


class _Climb:
    """The best file so far, and what was tried."""

    def __init__(self, shop: Workshop, maker: Maker, recipe: Recipe, made: bytes | None) -> None:
        self._shop, self._maker, self._start = shop, maker, recipe
        data = made if made is not None else maker.make(recipe)
        verdict = self._judge(recipe, data)
        self._best = self._keep(recipe, data, verdict)
        self._done: dict[str, str] = {}  # the repairs that the best file contains, by step
        worst = ", ".join(error.layer for error in self._best.layers.worst(2))
        self._steps = [RepairStep("as is", f"most is lost in {worst}", verdict, kept=True)]
        self._suspect = bool(shop.refusal or shop.fixed) or self._is_clipped()
        self._evidence = self._find_evidence()

    def is_done(self, rung: str) -> bool:
        """The gate holds and nothing that this step repairs was found."""
        if rung == "fix pixels" and self._shop.fixed is not None:
            return False
        return self._best.verdict.ok and not (rung in IMAGE_RUNGS and self._is_clipped())

    def take(self, name: str, rung: Rung) -> None:
        """Try a step's proposals, until one holds the gate."""
        before = len(self._steps)
        try:
            for what, recipe in rung(self._best):
                self._try(name, what, recipe)
                if self.is_done(""):
                    return
        except (ModelError, ArtifactError) as error:
            self._steps.append(RepairStep(name, str(error), None, kept=False))
            return
        if len(self._steps) == before:
            self._steps.append(RepairStep(name, "does not apply", None, kept=False))

    def result(self) -> Repair:
        best = self._best
        return Repair(
            format=self._start.format.name,
            file=self._maker.format_of(best.recipe).file,
            data=best.data,
            verdict=best.verdict,
            steps=tuple(self._steps),
            evidence=self._evidence,
            done=tuple(self._done.values()),
            lab_images_used=best.recipe.lent,
            recipe=best.recipe,
            layers=best.layers,
        )

    def _try(self, name: str, what: str, recipe: Recipe) -> None:
        before, data = self._best.verdict, self._maker.make(recipe)
        verdict = self._judge(recipe, data)
        # The images have evidence against them: corrected ones need be no worse, others better.
        corrects = name in IMAGE_RUNGS and self._suspect
        kept = verdict.no_worse(before) if corrects else verdict.better(before)
        self._steps.append(RepairStep(name, what, verdict, kept))
        if kept:
            self._best = self._keep(recipe, data, verdict)
            self._done[name] = what
            if not recipe.float_tensors:
                self._done.pop("float layers", None)
            if recipe.method == self._start.method:
                self._done.pop("narrow ranges", None)

    def _judge(self, recipe: Recipe, data: bytes) -> FileVerdict:
        return self._shop.judge.judge(data, self._maker.format_of(recipe).file)

    def _keep(self, recipe: Recipe, data: bytes, verdict: FileVerdict) -> BestFile:
        """The file with its layers against float, on the frames that judge."""
        layers = self._maker.layers(recipe, data, self._shop.judge.lab.tensors)
        return BestFile(self._shop, self._maker, recipe, data, verdict, layers)

    def _is_clipped(self) -> bool:
        """Clipping that shows: logits beyond their range cost nothing on sure images."""
        best = self._best
        return best.layers.clipped.clipped > _CLIPPED and best.verdict.agreement < _SURE

    def _find_evidence(self) -> tuple[str, ...]:
        """What speaks against the file or its images, found without a label."""
        shop, best = self._shop, self._best
        found = [shop.refusal] if shop.refusal else []
        if shop.fixed is not None:
            found.append(shop.fixed.found)
        if best.verdict.agreement < HEALTHY_AGREEMENT:
            found.append(f"agrees with float on {100 * best.verdict.agreement:.1f} % of frames")
        if self._is_clipped():
            clipped = best.layers.clipped
            share = f"{100 * clipped.clipped:.1f} %"
            found.append(f"{share} of the values in {clipped.layer} are clipped")
        return tuple(found)
