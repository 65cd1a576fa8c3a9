from evaluation.reference_levels import ReferenceLevels
from evaluation.route import TokenizerRoundTrip


def test_every_target_has_its_rows_and_sequences_are_measured_on_fewer_samples(
    reference_levels: ReferenceLevels,
) -> None:
    assert {score.target for score in reference_levels.scores} == {"rgb", "shade", "glow", "caption"}
    assert all(isinstance(score.route, TokenizerRoundTrip) for score in reference_levels.scores)
    counts = {score.target: score.num_samples for score in reference_levels.scores}
    assert counts == {"rgb": 40, "shade": 40, "glow": 40, "caption": 24}
    assert set(reference_levels.unigrams) == {"rgb", "shade", "glow", "caption"}
