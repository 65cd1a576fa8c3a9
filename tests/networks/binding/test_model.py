"""The binding model: towers of every kind of stream, frozen images, missing modalities, and what it learns."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from networks.batch import PaddedTokens, Samples, TokenBatch
from networks.binding.config import BindingConfig
from networks.binding.model import BindingModel
from networks.binding.tower import FrozenTower, Tower, tower_batch
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.generation.predict import encoder_features
from networks.masking.masker import select
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream

CONFIG = BindingConfig(enabled=True, dim=16, width=32, num_blocks=1, heads=2)
STREAMS: tuple[Stream, ...] = (
    PixelStream(name="rgb_pixels", num_tokens=4, channels=12, grid=2, patch=2),
    GridStream(name="depth", num_tokens=4, vocabulary="depth", vocab_size=8, grid=2),
    SequenceStream(name="caption", num_tokens=6, vocabulary="text", vocab_size=200),
    EmbeddingStream(name="t5_caption", num_tokens=3, channels=5),
    GridStream(name="feature", num_tokens=2, vocabulary="feature", vocab_size=8, grid=None),
)


def make_samples(count: int, seed: int = 0) -> dict[str, PaddedTokens]:
    """Samples whose modalities all say one number from 0 to 7."""
    generator = torch.Generator().manual_seed(seed)
    number = torch.randint(8, (count,), generator=generator)
    lengths = torch.randint(1, 7, (count,), generator=generator)
    columns: dict[str, tuple[Tensor, Tensor]] = {
        "rgb_pixels": ((number * 30)[:, None, None, None].expand(-1, 4, 4, 3).byte(), torch.full((count,), 4)),
        "depth": (number[:, None].expand(-1, 4).clone(), torch.full((count,), 4)),
        "caption": (120 + number[:, None].expand(-1, 6).clone(), lengths),
        "t5_caption": (
            torch.nn.functional.one_hot(number, 8)[:, None, :5].expand(-1, 3, -1).float(),
            lengths.clamp(max=3),
        ),
        "feature": (number[:, None].expand(-1, 2).clone(), torch.full((count,), 2)),
    }
    return {name: PaddedTokens(values=values, lengths=size) for name, (values, size) in columns.items()}


def batches(model: BindingModel, samples: Samples) -> dict[str, TokenBatch]:
    return {item.modality: tower_batch(model.towers[item.modality], item.name, samples) for item in model.streams}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda item: item.name)
def test_every_kind_of_stream_has_a_tower_whose_padding_changes_nothing(stream: Stream) -> None:
    torch.manual_seed(0)
    tower, samples = Tower(stream, CONFIG).eval(), make_samples(5)
    with torch.no_grad():
        together = tower(tower_batch(tower, stream.name, samples))
        alone = []
        for row in range(5):
            column = samples[stream.name]
            length = column.values.shape[1] if isinstance(stream, PixelStream) else int(column.lengths[row])
            one = PaddedTokens(values=column.values[row : row + 1, :length], lengths=column.lengths[row : row + 1])
            alone.append(tower(tower_batch(tower, stream.name, {stream.name: one})))
    torch.testing.assert_close(together, torch.cat(alone))
    torch.testing.assert_close(together.norm(dim=1), torch.ones(5))


def test_training_binds_the_pairs_and_what_was_never_paired() -> None:
    torch.manual_seed(0)
    model = BindingModel(STREAMS, CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = float(model(batches(model, make_samples(32))).loss.detach())
    for step in range(60):
        optimizer.zero_grad()
        model(batches(model, make_samples(32, seed=step + 1))).loss.backward()
        optimizer.step()
    held_out = make_samples(32, seed=999)
    with torch.no_grad():
        last = float(model(batches(model, held_out)).loss)
        depth, caption = (model.embed(name, batches(model, held_out)[name]) for name in ("depth", "caption"))
    number = held_out["depth"].values[:, 0]
    assert last < first - 0.5
    assert (number[(depth @ caption.T).argmax(dim=1)] == number).float().mean() > 0.9


def test_a_sample_without_a_modality_changes_no_other_pair() -> None:
    torch.manual_seed(0)
    model, samples = BindingModel(STREAMS[:3], CONFIG), make_samples(6)
    lengths = samples["caption"].lengths.clone()
    lengths[2] = 0
    lacking = {**samples, "caption": PaddedTokens(values=samples["caption"].values, lengths=lengths)}
    with torch.no_grad():
        whole, part = model(batches(model, samples)), model(batches(model, lacking))
        rows = [0, 1, 3, 4, 5]
        without = {name: PaddedTokens(values=c.values[rows], lengths=c.lengths[rows]) for name, c in samples.items()}
        expected = model(batches(model, without)).losses["caption"]
    torch.testing.assert_close(part.losses["depth"], whole.losses["depth"])
    torch.testing.assert_close(part.losses["caption"], expected)


def test_a_frozen_image_tower_is_the_models_encoder_and_stays_as_it_is() -> None:
    torch.manual_seed(0)
    fourm = FourM(STREAMS[:3], FourMConfig(size=Size.nano, encoder_depth=1, decoder_depth=1))
    before = [weight.clone() for weight in fourm.parameters()]
    model, samples = BindingModel(STREAMS[:3], CONFIG, fourm), make_samples(4)
    tower = model.towers["rgb"]
    assert isinstance(tower, FrozenTower)
    model.train()
    assert not tower.model.training
    outputs = encoder_features(fourm, select(samples, fourm.streams, inputs=["rgb_pixels"], targets=[]))
    expected = torch.nn.functional.normalize(tower.projection(outputs.mean(dim=1)), dim=1)
    torch.testing.assert_close(model.embed("rgb", batches(model, samples)["rgb"]), expected)
    model(batches(model, samples)).loss.backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert "towers.rgb.projection.weight" in trained
    assert not [name for name in trained if name.startswith("towers.rgb.model")]
    assert all(torch.equal(one, other) for one, other in zip(before, fourm.parameters(), strict=True))


@pytest.mark.parametrize("learned", [True, False])
def test_the_temperature_is_learned_or_fixed(learned: bool) -> None:
    config = BindingConfig(
        enabled=True, dim=8, width=8, num_blocks=1, heads=2, temperature=0.1, learn_temperature=learned
    )
    model = BindingModel(STREAMS[:3], config)
    torch.testing.assert_close(model.scales.exp(), torch.full((2,), 10.0))
    names: Sequence[str] = [name for name, _ in model.named_parameters()]
    assert ("scales" in names) is learned
