"""When an answer is sure enough to be given: part 5, "Your own images"."""

from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.confidence import probabilities
from meta_lib.figures import own_images
from meta_lib.moving import MovingFigure, floats, greys

STRANGER = -1
LABELS = {"p": "probability p of the answer", "cosine": "cosine with the nearest labelled image"}


class Refusals(MovingFigure):
    """Answers by how sure they are; those below a threshold are refused.

    `asked` holds, for each number of shots, the cosine distances (queries, ways) and their scale.
    `truth` (queries,) are labels of `names`, and -1 for strangers, which belong to none of them.
    `images` are (queries, 1, side, side).

    Two scores say how sure an answer is: `by` = "p", the softmax of the distances, and "cosine",
    how near the nearest labelled image is. Scores are (shots, 2, queries).
    """

    shared = ("shots", "by", "threshold")
    shots = traitlets.Int().tag(sync=True)
    by = traitlets.Unicode("p").tag(sync=True)
    threshold = traitlets.Float(0.6).tag(sync=True)
    all_shots: traitlets.List[int] = traitlets.List().tag(sync=True)
    names: traitlets.List[str] = traitlets.List().tag(sync=True)
    labels = traitlets.Dict(LABELS).tag(sync=True)
    answers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    truth: traitlets.List[int] = traitlets.List().tag(sync=True)
    scores = traitlets.Bytes().tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    side = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        asked: dict[int, tuple[Tensor, float]],
        truth: Tensor,
        names: list[str],
        images: Tensor,
        **traits: Any,
    ):
        sure = [
            torch.stack([probabilities(D, scale).amax(dim=1), 1 - D.amin(dim=1)])
            for D, scale in asked.values()
        ]
        self._scores = torch.stack(sure).clamp(0, 1)
        super().__init__(
            all_shots=list(asked),
            names=list(names),
            answers=[D.argmin(dim=1).tolist() for D, _ in asked.values()],
            truth=truth.tolist(),
            scores=floats(self._scores),
            pictures=greys(images),
            side=images.shape[-1],
            **({"shots": next(iter(asked))} | traits),
        )

    def still(self) -> Figure:
        """Return how sure the answers are at the start, with the threshold."""
        number = self.all_shots.index(self.shots)
        truth, answers = torch.tensor(self.truth), torch.tensor(self.answers[number])
        kind = torch.where(truth == STRANGER, 2, (truth != answers).long())
        scores = self._scores[number, list(LABELS).index(self.by)].cpu()
        return own_images.refusals(scores, kind, self.threshold, LABELS[self.by])
