"""Metrics of tokenizers' rows, held against numpy."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.pose_metrics import body_measures
from modalities.poses import rest_pose, rows_of
from modalities.registry import default_registry
from modalities.row_metrics import mask_row_measures, row_measures
from modalities.spec import PREPARED, Measure, normalisations


def measured(measures: Mapping[str, Measure], *batches: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Each metric over some batches."""
    for measure in measures.values():
        for batch in batches:
            measure.metric.update(*batch)
    return {name: float(measure.metric.compute()) for name, measure in measures.items()}


def test_the_error_of_entries_is_numpys_over_all_rows() -> None:
    one, other = torch.randn(5, 7), torch.randn(5, 7)
    found = measured(row_measures(), (one[:2], other[:2]), (one[2:], other[2:]))
    assert found["entry_error"] == pytest.approx(float(np.abs(one.numpy() - other.numpy()).mean()), rel=1e-5)


def test_masks_are_cut_at_a_half_and_count_alike_whatever_their_area() -> None:
    logits, shares = torch.full((2, 1, 4, 4), -3.0), torch.zeros(2, 1, 4, 4)
    logits[0, 0, :2], shares[0, 0, :1] = 0.1, 0.5  # 8 pixels, 4 of which are right
    logits[1, 0, 0, 0], shares[1, 0, 0, 0] = 9.0, 1.0
    assert measured(mask_row_measures(), (logits, shares)) == {"iou": pytest.approx(0.75)}
    assert measured(mask_row_measures(), (logits[:1] * 0 - 1, shares[:1] * 0)) == {"iou": 1}


def test_a_body_pose_that_is_the_same_has_no_error_and_a_lifted_arm_has() -> None:
    rest = rest_pose()
    truth = torch.from_numpy(rows_of([rest, rest]))
    assert measured(body_measures(), (truth, truth)) == {"joint_error": pytest.approx(0, abs=1e-3), "entry_error": 0}
    lifted = truth.clone().reshape(2, 23, 3, 3)
    lifted[0, 15] = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = measured(body_measures(), (lifted.reshape(2, 207), truth))
    assert 10 < found["joint_error"] < 100  # an elbow and a wrist of seventeen joints, in one body of two
    assert found["entry_error"] == pytest.approx(4 / 414)


def test_every_installed_modality_with_a_learnt_tokenizer_tells_its_normalisation() -> None:
    registry = default_registry()
    depth = registry["depth"]
    assert normalisations({"depth": depth, "edges": registry["canny_edges"]}) == (
        f"depth: {depth.normalisation}; edges: edges as 1, all else as -1"
    )
    assert normalisations({}) == registry["caption"].normalisation == PREPARED
