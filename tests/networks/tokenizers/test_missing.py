"""Missing measurements and labels: no loss counts them, and complete values cost what they did."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from modalities.tokenizer_specs import UNLABELLED, ReconstructionLoss
from networks.tokenizers.tokenizer import reconstruction_loss
from networks.tokenizers.vit import ClassEmbedding

DRAW = torch.Generator().manual_seed(0)
OUTPUT, TARGET = torch.randn(2, 3, 4, 4, generator=DRAW), torch.randn(2, 3, 4, 4, generator=DRAW)
LOGITS, CLASSES = torch.randn(2, 5, 4, 4, generator=DRAW), torch.randint(5, (2, 4, 4), generator=DRAW)


@pytest.mark.parametrize(
    ("kind", "plain"), [(ReconstructionLoss.mse, F.mse_loss), (ReconstructionLoss.smooth_l1, F.smooth_l1_loss)]
)
def test_values_without_holes_cost_what_they_did_to_the_bit(kind: ReconstructionLoss, plain: object) -> None:
    assert callable(plain)
    ours, theirs = OUTPUT.clone().requires_grad_(), OUTPUT.clone().requires_grad_()
    loss, expected = reconstruction_loss(kind, ours, TARGET), plain(theirs, TARGET)
    assert torch.equal(loss, expected)
    torch.autograd.backward([loss, expected])
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("kind", [ReconstructionLoss.mse, ReconstructionLoss.smooth_l1])
def test_a_hole_costs_nothing(kind: ReconstructionLoss) -> None:
    target = TARGET.clone()
    target[0, 1, 2:], target[1, 0, 0, 0] = torch.nan, torch.nan
    output = OUTPUT.clone().requires_grad_()
    loss = reconstruction_loss(kind, output, target)
    difference = (OUTPUT - target).numpy()
    difference = np.abs(difference[~np.isnan(difference)])
    terms = (
        difference**2
        if kind is ReconstructionLoss.mse
        else np.where(difference < 1, difference**2 / 2, difference - 0.5)
    )
    assert float(loss.detach()) == pytest.approx(float(terms.mean()), rel=1e-5)
    torch.autograd.backward(loss)
    assert output.grad is not None
    assert torch.equal(output.grad == 0, target.isnan())


def test_a_batch_of_nothing_but_holes_costs_nothing() -> None:
    output = OUTPUT.clone().requires_grad_()
    loss = reconstruction_loss(ReconstructionLoss.mse, output, torch.full_like(TARGET, torch.nan))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert output.grad is not None
    assert not output.grad.any()
    logits = LOGITS.clone().requires_grad_()
    loss = reconstruction_loss(ReconstructionLoss.cross_entropy, logits, torch.full_like(CLASSES, UNLABELLED))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_pixel_without_a_label_costs_nothing_and_enters_as_zeros() -> None:
    assert torch.equal(
        reconstruction_loss(ReconstructionLoss.cross_entropy, LOGITS, CLASSES), F.cross_entropy(LOGITS, CLASSES)
    )
    classes = CLASSES.clone()
    classes[0, :2] = UNLABELLED
    loss = reconstruction_loss(ReconstructionLoss.cross_entropy, LOGITS, classes)
    labelled = classes != UNLABELLED
    chosen = LOGITS.log_softmax(1).gather(1, CLASSES[:, None])[:, 0][labelled]
    assert float(loss) == pytest.approx(float(-chosen.mean()), rel=1e-5)
    embedding = ClassEmbedding(5, 3)
    image, complete = embedding(classes), embedding(CLASSES)
    assert not image[0, :, :2].any()
    assert torch.equal(image[1], complete[1])
    with pytest.raises(IndexError):
        embedding(torch.full((1, 2, 2), -1))
