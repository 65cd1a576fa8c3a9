"""Metrics of tokenizers' rows, held against numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from lightning_modules.checkpoints.tokenizer import describe_normalizations
from modalities.geometry.poses import body_pose_rows, rest_pose
from modalities.metrics.poses import body_pose_reconstruction_metrics
from modalities.metrics.reconstruction import default_reconstruction_metrics, mask_reconstruction_metrics
from modalities.registry import default_registry
from modalities.spec import UNSPECIFIED_NORMALIZATION


def measured(metrics: MetricCollection, *batches: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Each metric over some batches."""
    for batch in batches:
        metrics.update(*batch)
    return {name: float(value) for name, value in metrics.compute().items()}


def test_the_error_of_entries_is_numpys_over_all_rows() -> None:
    one, other = torch.randn(5, 7), torch.randn(5, 7)
    found = measured(default_reconstruction_metrics(), (one[:2], other[:2]), (one[2:], other[2:]))
    assert found["entry_error"] == pytest.approx(float(np.abs(one.numpy() - other.numpy()).mean()), rel=1e-5)


def test_masks_are_cut_at_a_half_and_count_alike_whatever_their_area() -> None:
    logits, shares = torch.full((2, 1, 4, 4), -3.0), torch.zeros(2, 1, 4, 4)
    logits[0, 0, :2], shares[0, 0, :1] = 0.1, 0.5  # 8 pixels, 4 of which are right
    logits[1, 0, 0, 0], shares[1, 0, 0, 0] = 9.0, 1.0
    assert measured(mask_reconstruction_metrics(), (logits, shares)) == {"iou": pytest.approx(0.75)}
    assert measured(mask_reconstruction_metrics(), (logits[:1] * 0 - 1, shares[:1] * 0)) == {"iou": 1}


def test_a_body_pose_that_is_the_same_has_no_error_and_a_lifted_arm_has() -> None:
    rest = rest_pose()
    truth = torch.from_numpy(body_pose_rows([rest, rest]))
    assert measured(body_pose_reconstruction_metrics(), (truth, truth)) == {
        "joint_error": pytest.approx(0, abs=1e-3),
        "entry_error": 0,
    }
    lifted = truth.clone().reshape(2, 23, 3, 3)
    lifted[0, 15] = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = measured(body_pose_reconstruction_metrics(), (lifted.reshape(2, 207), truth))
    assert 10 < found["joint_error"] < 100  # an elbow and a wrist of seventeen joints, in one body of two
    assert found["entry_error"] == pytest.approx(4 / 414)


def test_every_installed_modality_with_a_learnt_tokenizer_tells_its_normalisation() -> None:
    registry = default_registry()
    depth = registry["depth"]
    assert describe_normalizations({"depth": depth, "edges": registry["canny_edges"]}) == (
        f"depth: {depth.normalization}; edges: edges as 1, all else as -1"
    )
    assert describe_normalizations({}) == registry["caption"].normalization == UNSPECIFIED_NORMALIZATION
