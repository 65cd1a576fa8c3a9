"""Measures a binding model: retrieval of trained and emergent pairs, zero-shot classification, and arithmetic."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from evaluation.config import EvaluationConfig, RetrievalPair
from evaluation.route import Retrieval
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import Score
from evaluation.tasks.retrieval import has_modalities, hide_places, measure_pairs
from evaluation.tasks.retrieval_metrics import ZERO_SHOT_ACCURACY, cosine_similarity, retrieval_scores
from lightning_modules.data.store import pad_tokens
from modalities.metrics.base import FRACTION
from networks.binding.model import BindingModel
from networks.binding.tower import FrozenTower, Tower, tower_batch
from networks.device import module_device
from networks.streams import SequenceStream

BINDING = "binding"
"""Name of the binding model among the arms, and of its space."""
ARITHMETIC = "binding arithmetic"
"""Space of queries that are an image's vector, minus that of its text, plus that of another sample's text."""


class BindingSamples:
    """Embeds held-out samples by a binding model: the sum of the unit vectors of all modalities of a set."""

    def __init__(self, model: BindingModel, held_out: EvalSplit, seed: int) -> None:
        self.model, self.held_out, self.seed = model, held_out, seed
        self.streams = {stream.modality: stream.name for stream in model.streams}

    @torch.no_grad()
    def __call__(self, names: Sequence[str], share: float, indices: NDArray[np.int64]) -> Float[np.ndarray, "b d"]:
        """The vectors of the samples ``indices``, of which a share of the patches is shown."""
        device, total = module_device(self.model), None
        for name in names:
            stream, tower = self.streams[name], self.model.towers[name]
            assert isinstance(tower, Tower | FrozenTower)
            batch = tower_batch(tower, stream, self.held_out.tokens.read(indices, [stream])).to(device)
            batch = hide_places(batch, tower.streams, share, indices, self.seed)
            vectors = self.model.embed(name, batch)
            total = vectors if total is None else total + vectors
        assert total is not None
        found: Float[np.ndarray, "b d"] = total.float().cpu().numpy()
        return found


@dataclass(frozen=True, kw_only=True)
class ZeroShotClasses:
    """Classes of samples, and the texts that stand for them."""

    labels: Sequence[str | None]
    """The class of each held-out sample; None for one that has none of them."""
    prompts: Mapping[str, Sequence[int]]
    """Token ids of the text that stands for each class."""


@torch.no_grad()
def measure_binding(
    model: BindingModel,
    held_out: EvalSplit,
    pairs: Sequence[RetrievalPair],
    config: EvaluationConfig,
    seed: int,
    classes: ZeroShotClasses | None = None,
) -> list[Score]:
    """Scores of every pair whose modalities are bound, and with each bound text of arithmetic and zero-shot classes."""
    embed = BindingSamples(model, held_out, config.seed)
    bound = set(model.towers)
    usable = [pair for pair in pairs if bound.issuperset([*pair.query, *pair.gallery])]
    scores, _ = measure_pairs(embed, usable, BINDING, held_out, config, BINDING, seed)
    for stream in model.streams[1:]:
        if isinstance(stream, SequenceStream):
            scores += measure_arithmetic(embed, model.image, stream.modality, config, seed)
            if classes is not None:
                scores += measure_zero_shot(embed, stream, classes, config, seed)
    return scores


def measure_arithmetic(
    embed: BindingSamples, image: str, text: str, config: EvaluationConfig, seed: int
) -> list[Score]:
    """Retrieval of image b by the vector of image a, minus that of text a, plus that of text b.

    Sample b follows a in the split. Image a itself is no answer.
    """
    num_samples = min(config.num_samples, embed.held_out.num_samples)
    present = has_modalities(embed.held_out, [image, text], num_samples)
    if len(present) < 3:
        return []
    images, texts = (_embed_all(embed, name, num_samples, config)[present] for name in (image, text))
    answers = torch.arange(len(present)).roll(-1)
    similarity = cosine_similarity(images - texts + texts[answers], images)
    similarity.fill_diagonal_(-torch.inf)
    route = Retrieval(space=ARITHMETIC, query=(image, text), gallery=(image,))
    return retrieval_scores(route, BINDING, seed, similarity, answers)


@torch.no_grad()
def measure_zero_shot(
    embed: BindingSamples, stream: SequenceStream, classes: ZeroShotClasses, config: EvaluationConfig, seed: int
) -> list[Score]:
    """Share of images whose class is that of the nearest prompt; the chance level is the most frequent class's share.

    Classes that no measured sample has are no candidates.
    """
    model, num_samples = embed.model, min(config.num_samples, embed.held_out.num_samples)
    present = has_modalities(embed.held_out, [model.image], num_samples).tolist()
    numbers = [number for number in present if classes.labels[number] in classes.prompts]
    found = [str(classes.labels[number]) for number in numbers]
    names = sorted(set(found))
    if len(names) < 2:
        return []
    rows = [np.asarray(classes.prompts[name], dtype=np.int64) for name in names]
    tower = model.towers[stream.modality]
    prompts = model.embed(stream.modality, tower_batch(tower, stream.name, {stream.name: pad_tokens(stream, rows)}))
    images = _embed_all(embed, model.image, num_samples, config)[numbers]
    nearest = cosine_similarity(images, prompts.cpu()).argmax(dim=1).tolist()
    hits = [names[answer] == label for answer, label in zip(nearest, found, strict=True)]
    return [
        Score(
            arm=BINDING,
            seed=seed,
            route=Retrieval(space=BINDING, query=(model.image,), gallery=(stream.modality,)),
            metric=ZERO_SHOT_ACCURACY,
            metric_title="zero-shot accuracy",
            value=sum(hits) / len(hits),
            unit=FRACTION,
            higher_is_better=True,
            chance=max(found.count(name) for name in names) / len(hits),
            num_samples=len(hits),
        )
    ]


def largest_classes(maps: Sequence[Any], classes: Sequence[str], candidates: Collection[str]) -> list[str | None]:
    """The candidate that covers most of each class map; None where none is in it, or there is no map."""
    found: list[str | None] = []
    for value in maps:
        counts = np.bincount(np.asarray(value).ravel(), minlength=len(classes)) if value is not None else np.zeros(0)
        areas = {name: int(counts[number]) for number, name in enumerate(classes) if name in candidates and len(counts)}
        best = max(areas, key=lambda name: areas[name], default=None)
        found.append(best if best is not None and areas[best] else None)
    return found


def _embed_all(embed: BindingSamples, name: str, num_samples: int, config: EvaluationConfig) -> Tensor:
    parts = [embed([name], 1.0, indices) for indices in index_batches(num_samples, config.batch_size)]
    return torch.from_numpy(np.concatenate(parts))
