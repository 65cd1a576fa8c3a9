"""Every kind of learnt tokenizer, held to what they have in common."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from modalities.errors import ConfigError
from modalities.layouts import Dense, Vector
from modalities.tokenizer_specs import ProductMLP, ReconstructionLoss, TokenizerTask, ViTVQ
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import CodebookKind, DecoderKind, DiffusionConfig, EncoderKind, TokenizerConfig
from networks.tokenizers.tokenizer import Tokenizer

SMALL = replace(
    TokenizerConfig.nano(),
    width=32,
    mlp_width=32,
    mlp_latent=32,
    ema_decay=0.8,
    diffusion=DiffusionConfig(channels=16, multipliers=(1, 2), blocks=1, attention=(2,), sampling_steps=3),
)


def dense(
    loss: ReconstructionLoss, *, has_diffusion_decoder: bool = False, channels: int = 3, pixels_per_value: int = 1
) -> TokenizerTask:
    """A task on 16 x 16 pixels in 4 x 4 patches."""
    layout = Dense(
        channels=channels,
        size=16,
        patch=4,
        pixels_per_value=pixels_per_value,
        categorical=loss is ReconstructionLoss.cross_entropy,
    )
    return TokenizerTask(
        name="thing",
        layout=layout,
        tokenizer=ViTVQ(name="thing", vocab_size=48, loss=loss, has_diffusion_decoder=has_diffusion_decoder),
    )


VECTOR = TokenizerTask(
    name="vector",
    layout=Vector(channels=12, num_tokens=4),
    tokenizer=ProductMLP(name="vector", vocab_size=16, loss=ReconstructionLoss.cosine),
)

Case = tuple[TokenizerTask, TokenizerConfig, Tensor]


def cases() -> dict[str, Case]:
    """A task, a config and a batch of eight values for every kind of tokenizer."""
    draw = torch.Generator().manual_seed(3)
    image = torch.randn(8, 3, 4, 4, generator=draw).repeat_interleave(4, 2).repeat_interleave(4, 3)
    features = torch.randn(8, 6, 4, 4, generator=draw)
    classes = torch.randint(5, (8, 4, 4), generator=draw).repeat_interleave(4, 1).repeat_interleave(4, 2)
    masks = (torch.randn(8, 1, 16, 16, generator=draw) > 0).float()
    diffused = replace(SMALL, decoder=DecoderKind.diffusion)
    vit = replace(SMALL, encoder=EncoderKind.vit, encoder_depth=1, post_mlp=True, codebook=CodebookKind.cosine)
    return {
        "image": (dense(ReconstructionLoss.mse), SMALL, image),
        "image_vit_cosine": (dense(ReconstructionLoss.mse), vit, image),
        "image_diffusion": (dense(ReconstructionLoss.mse, has_diffusion_decoder=True), diffused, image),
        "class_map": (dense(ReconstructionLoss.cross_entropy, channels=5), SMALL, classes),
        "mask": (dense(ReconstructionLoss.bce, channels=1), replace(SMALL, output_convs=2), masks),
        "feature_map": (dense(ReconstructionLoss.smooth_l1, channels=6, pixels_per_value=4), SMALL, features),
        "vector": (VECTOR, SMALL, torch.randn(8, 12, generator=draw)),
    }


CASES = cases()


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def built(task: TokenizerTask, config: TokenizerConfig) -> Tokenizer:
    torch.manual_seed(0)
    return build_tokenizer(task, config)


def fit(tokenizer: Tokenizer, x: Tensor, steps: int, seed: int = 0) -> list[float]:
    """Reconstruction losses of training on one batch."""
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=5e-3)
    losses = []
    for _ in range(steps):
        answer = tokenizer.loss(x, draw)
        optimizer.zero_grad()
        torch.autograd.backward(answer.loss)
        optimizer.step()
        losses.append(float(answer.reconstruction_loss))
    return losses


def test_a_batch_can_be_learnt_by_heart(case: Case) -> None:
    task, config, x = case
    losses = fit(built(task, config), x, 60)
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-5:]) / 5 < 0.75 * losses[0]


def test_gradients_reach_every_weight_but_those_behind_a_zero(case: Case) -> None:
    task, config, x = case
    tokenizer = built(task, config)
    fit(tokenizer, x, 3)
    answer = tokenizer.loss(x, torch.Generator().manual_seed(0))
    tokenizer.zero_grad()
    torch.autograd.backward(answer.loss)
    silent = [name for name, weight in tokenizer.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_codes_and_values_have_the_shapes_of_the_layout(case: Case) -> None:
    task, config, x = case
    tokenizer = built(task, config).eval()
    ids = tokenizer.encode(x)
    assert ids.shape == (8, task.layout.num_tokens) == (8, tokenizer.num_tokens)
    assert ids.dtype == torch.int64
    assert 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size == task.tokenizer.vocab_size
    layout = task.layout
    expected = (
        (8, layout.channels, layout.values_per_side, layout.values_per_side)
        if isinstance(layout, Dense)
        else (8, layout.channels)
    )
    assert tokenizer.decode(ids).shape == expected


def test_certainty_about_a_code_decodes_softly_to_the_same_value(case: Case) -> None:
    task, config, x = case
    tokenizer = built(task, config)
    fit(tokenizer, x, 3)
    ids = tokenizer.eval().encode(x)
    certain = torch.nn.functional.one_hot(ids, tokenizer.vocab_size).float()
    torch.testing.assert_close(tokenizer.decode_soft(certain), tokenizer.decode(ids), atol=1e-5, rtol=1e-5)


def test_training_twice_from_one_seed_gives_the_same_codes_whatever_the_global_stream(case: Case) -> None:
    task, config, x = case
    first, second = built(task, config), built(task, config)
    fit(first, x, 4)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    fit(second, x, 4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert torch.equal(first.eval().encode(x), second.eval().encode(x))


def test_evaluation_neither_moves_the_codebook_nor_draws(case: Case) -> None:
    task, config, x = case
    tokenizer = built(task, config)
    fit(tokenizer, x, 2)
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    with torch.no_grad():
        answer = tokenizer.eval().loss(x, torch.Generator().manual_seed(0))
    assert torch.equal(answer.ids, tokenizer.encode(x))
    assert all(torch.equal(before[name], value) for name, value in tokenizer.state_dict().items())


def test_masks_come_back_as_logits() -> None:
    task, config, x = CASES["mask"]
    tokenizer = built(task, config)
    fit(tokenizer, x, 60)
    value = tokenizer.eval().decode(tokenizer.encode(x)).detach()
    assert float(value.min()) < -1
    assert float(((value > 0) == (x > 0.5)).float().mean()) > 0.7


def test_a_patch_mlp_code_depends_on_its_own_patch_alone() -> None:
    task, config, x = CASES["image"]
    tokenizer = built(task, config)
    fit(tokenizer, x, 5)
    changed = x.clone()
    changed[:, :, :4, :4] = 5.0
    before, after = tokenizer.eval().encode(x), tokenizer.encode(changed)
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert not torch.equal(before[:, 0], after[:, 0])


def test_a_tokenizer_that_is_not_diffusible_keeps_its_plain_decoder() -> None:
    diffused = replace(SMALL, decoder=DecoderKind.diffusion)
    assert type(build_tokenizer(dense(ReconstructionLoss.mse), diffused)).__name__ == "ViTDecoderTokenizer"
    assert (
        type(build_tokenizer(dense(ReconstructionLoss.mse, has_diffusion_decoder=True), diffused)).__name__
        == "DiffusionTokenizer"
    )


def test_what_does_not_fit_together_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'vector': ProductMLP cannot read a Dense"):
        build_tokenizer(replace(VECTOR, layout=dense(ReconstructionLoss.mse).layout), SMALL)
    with pytest.raises(ConfigError, match="cross_entropy goes with class maps"):
        build_tokenizer(
            replace(
                dense(ReconstructionLoss.mse),
                tokenizer=ViTVQ(name="thing", vocab_size=8, loss=ReconstructionLoss.cross_entropy),
            ),
            SMALL,
        )
    with pytest.raises(ConfigError, match="patches of 5 pixels must divide 16"):
        build_tokenizer(replace(dense(ReconstructionLoss.mse), layout=Dense(channels=3, size=16, patch=5)), SMALL)
    with pytest.raises(ConfigError, match="mlp_latent must be a multiple of 4 codes, got 30"):
        build_tokenizer(VECTOR, replace(SMALL, mlp_latent=30))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 30}, "tokenizer.width must be a multiple of heads"),
        ({"ema_decay": 1.0}, "tokenizer.ema_decay"),
        ({"revive_below": -1.0}, "tokenizer.revive_below"),
        ({"temperature": 0.0}, "tokenizer.temperature"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TokenizerConfig(), **changes)  # type: ignore[arg-type]


def test_the_published_sizes_can_be_built() -> None:
    task = TokenizerTask(
        name="rgb",
        layout=Dense(channels=3, size=224, patch=16),
        tokenizer=ViTVQ(name="rgb", vocab_size=16_384, loss=ReconstructionLoss.mse, has_diffusion_decoder=True),
    )
    with torch.device("meta"):
        plain = build_tokenizer(task, TokenizerConfig())
    assert 170e6 < sum(weight.numel() for weight in plain.parameters()) < 190e6
