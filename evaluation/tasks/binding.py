"""Measures a binding model: retrieval of trained and emergent pairs, zero-shot classification, and arithmetic."""

from collections.abc import Sequence

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
from evaluation.tasks.retrieval_metrics import cosine_similarity, retrieval_scores
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


@torch.no_grad()
def measure_binding(
    model: BindingModel,
    held_out: EvalSplit,
    pairs: Sequence[RetrievalPair],
    config: EvaluationConfig,
    seed: int,
) -> list[Score]:
    """Scores of every pair whose modalities are bound, and of arithmetic with each bound text."""
    embed = BindingSamples(model, held_out, config.seed)
    bound = set(model.towers)
    usable = [pair for pair in pairs if bound.issuperset([*pair.query, *pair.gallery])]
    scores, _ = measure_pairs(embed, usable, BINDING, held_out, config, BINDING, seed)
    for stream in model.streams[1:]:
        if isinstance(stream, SequenceStream):
            scores += measure_arithmetic(embed, model.image, stream.modality, config, seed)
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


def _embed_all(embed: BindingSamples, name: str, num_samples: int, config: EvaluationConfig) -> Tensor:
    parts = [embed([name], 1.0, indices) for indices in index_batches(num_samples, config.batch_size)]
    return torch.from_numpy(np.concatenate(parts))
