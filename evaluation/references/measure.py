"""Measures all reference levels of an ablation."""

from evaluation.config import EvaluationConfig
from evaluation.reference_levels import ReferenceLevels
from evaluation.references.chance import fit_unigrams
from evaluation.references.round_trip import measure_round_trip
from evaluation.samples import EvalSplit
from evaluation.scores import Score
from networks.tokenizers.codec import Codec


def measure_reference_levels(
    codec: Codec, training: EvalSplit, held_out: EvalSplit, config: EvaluationConfig
) -> ReferenceLevels:
    """Chance levels and upper bounds of every target, and the unigram of every target stream."""
    scores: list[Score] = []
    for name in codec.targets:
        scores += measure_round_trip(codec, name, training, held_out, config)
    return ReferenceLevels(scores=tuple(scores), unigrams=fit_unigrams(training, config.num_chance))
