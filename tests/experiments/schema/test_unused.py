"""Settings that cannot take effect: refused on the command line, warned of in a file."""

import logging
from pathlib import Path

import pytest

from experiments.schema.load import find_config, load_config, shipped_configs
from experiments.schema.unused import unused_settings
from modalities.errors import ConfigError


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["masking.mixtures=[{}]", "masking.alpha=0.3"], "masking.alpha has no effect: masking.mixtures replaces"),
        (["masking.mixtures=[{}]", "masking.recipe=all2all"], "masking.recipe has no effect: masking.mixtures"),
        (["masking.recipe=fourm_21", "masking.alpha=0.3"], "masking.alpha has no effect: masking.recipe=fourm_21"),
        (["tokenizer.encoder=patch_mlp", "tokenizer.encoder_depth=2"], "encoder_depth has no effect: .*patch_mlp"),
        (["tokenizer.patch_hidden=[8]"], "tokenizer.patch_hidden has no effect: tokenizer.encoder=vit"),
        (["tokenizer.diffusion.channels=8"], "tokenizer.diffusion.channels has no effect: tokenizer.decoder=plain"),
        (
            ["tokenizer.decoder=diffusion", "tokenizer.diffusion.threshold=0", "tokenizer.diffusion.limit=1"],
            "tokenizer.diffusion.limit has no effect: diffusion.threshold=0",
        ),
        (
            ["model.size=L", "model.width=64", "model.heads=2", "model.encoder_depth=1", "model.decoder_depth=1"],
            "model.size has no effect: model.width, heads, encoder_depth and decoder_depth",
        ),
        (["model.biases={context: true}", "model.bias=true"], "model.bias has no effect: model.biases"),
        (["model.learned_positions=true", "model.max_period=9"], "model.max_period has no effect"),
        (["model.shared_positions=false"], "model.shared_positions has no effect: position codes are fixed"),
        (
            ["model.learned_positions=true", "model.shared_streams=false", "model.shared_positions=true"],
            "model.shared_positions has no effect: model.shared_streams=false",
        ),
        (["tracking.uri=none", "tracking.experiment=mine"], "tracking.experiment has no effect: tracking.uri=none"),
        (["executor.strategy=ddp"], "executor.strategy has no effect: executor.devices=1"),
        (["resolutions={rgb_32: {base: rgb, size: 32}}"], "resolutions.rgb_32.base has no effect: no arm names rgb_32"),
    ],
)
def test_an_override_without_effect_is_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(None, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["masking.alpha=0.3"],
        ["tokenizer.encoder_depth=2"],
        ["tokenizer.decoder=diffusion", "tokenizer.diffusion.channels=8"],
        ["model.size=L", "model.width=64", "model.heads=2"],
        ["executor.strategy=ddp", "tokenizer_training.devices=2"],
        ["model.learned_positions=true", "model.shared_positions=false"],
    ],
)
def test_an_override_with_effect_passes(overrides: list[str]) -> None:
    load_config(None, overrides)


def test_a_setting_of_a_file_without_effect_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("masking: {alpha: 0.3}\ntokenizer: {encoder_depth: 3}\n")
    load_config(path)
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        load_config(path, ["masking.mixtures=[{}]"])
    (message,) = caplog.messages
    assert message.startswith(f"{path}: masking.alpha has no effect: masking.mixtures replaces")
    with pytest.raises(ConfigError, match=r"masking\.alpha has no effect"):
        load_config(find_config("quickstart"), ["masking.alpha=0.3"])
    load_config(find_config("quickstart"), ["masking.alpha=0.3", "masking.mixtures=[]"])


@pytest.mark.parametrize("name", shipped_configs())
def test_every_setting_of_a_shipped_config_takes_effect(name: str, caplog: pytest.LogCaptureFixture) -> None:
    load_config(find_config(name))
    assert caplog.messages == []


def test_defaults_that_have_no_effect_are_not_complained_of() -> None:
    assert "tokenizer.diffusion" in unused_settings(load_config(None))
