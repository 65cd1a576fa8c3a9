"""A model's folder gives back the same model, and says what is wrong with it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.checkpoints.model import (
    CARD_FILE,
    CONFIG_FILE,
    TEXT_TOKENIZER_FILE,
    WEIGHTS_FILE,
    load_model,
    save_model,
)
from modalities.errors import CheckpointError, DataError, UserError
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from networks.batch import PackedInputs, TokenBatch
from networks.fourm.config import Sharing
from networks.fourm.model import FourM
from networks.streams import Stream
from networks.tokenizers.text import TextTokenizer
from tests.experiments.small_folder import make_model_folder
from tests.networks.small import STREAMS, small_batch, small_config

NAMES = ("depth", "caption")
SCALE = ScaleConfig(size=32, patch=8, max_vocab=16, max_tokens=40)


def batch() -> TokenBatch:
    """A small batch in single precision."""
    made = small_batch()
    return replace(
        made, rows={name: PackedInputs(values=r.values.float(), slots=r.slots) for name, r in made.rows.items()}
    )


def model(**changes: object) -> FourM:
    """A small model whose every weight is its own."""
    torch.manual_seed(0)
    made = FourM(STREAMS, small_config(**changes))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


def save(folder: Path, made: FourM, text: TextTokenizer | None = None) -> Path:
    """Write the model's folder."""
    save_model(
        folder,
        made,
        modalities=NAMES,
        scale=SCALE,
        text=text,
        fingerprints={"depth": "abc"},
        tokenizers={},
        card={"data": "none", "steps": 3},
    )
    return folder


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    """A text tokenizer of few words."""
    return TextTokenizer.train(["a red ball", "a blue ball"])


@pytest.fixture
def folder(text: TextTokenizer, tmp_path: Path) -> Path:
    """A model's folder."""
    return save(tmp_path / "model", model(), text)


@pytest.mark.parametrize(
    "changes",
    [
        *({"sharing": sharing} for sharing in Sharing),
        {"bias": True, "qk_norm": True, "registers": 2, "learned_positions": True},
        {"gated": False, "deep_stem": True},
    ],
    ids=str,
)
def test_the_model_comes_back_to_the_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    made = model(**changes)
    found = load_model(save(tmp_path / "model", made))
    assert found.model.config == made.config
    assert found.streams == made.streams == STREAMS
    assert not found.model.training
    own = dict(found.model.named_parameters())
    assert own.keys() == dict(made.named_parameters()).keys()
    assert all(torch.equal(value, own[name]) for name, value in made.named_parameters())
    with torch.no_grad():
        expected, output = made(batch()), found.model(batch())
        logits, ours = made.logits(batch()), found.model.logits(batch())
    assert torch.equal(output.loss, expected.loss)
    assert ours.keys() == logits.keys() == expected.losses.keys()
    assert all(torch.equal(ours[name][0], logits[name][0]) for name in logits)
    assert output.losses.keys() == expected.losses.keys()
    assert all(torch.equal(output.losses[name], expected.losses[name]) for name in expected.losses)


def test_what_is_beside_the_weights_comes_back(folder: Path, text: TextTokenizer) -> None:
    found = load_model(folder, expected=("caption", "depth"))
    assert found.modalities == NAMES
    assert found.scale == SCALE
    assert found.fingerprints == {"depth": "abc"}
    assert found.card == {"data": "none", "steps": 3}
    assert found.text_tokenizer is not None
    assert found.text_tokenizer.encode("a red ball") == text.encode("a red ball")
    assert found.tokenizers == {}
    assert found.build_modalities(default_registry())["depth"] == default_registry()["depth"].scaled(SCALE)
    assert {type(stream) for stream in found.streams} == set(get_args(Stream))


def test_a_model_without_text_tokenizer_says_what_it_lacks(tmp_path: Path) -> None:
    found = load_model(save(tmp_path / "model", model()))
    assert found.text_tokenizer is None
    with pytest.raises(DataError, match=r"'caption' needs a tokenizer .* again with --text-tokenizer FILE"):
        found.require_tokenizers(found.build_modalities(default_registry())["caption"])
    with pytest.raises(DataError, match=r"'depth' needs a tokenizer .* again with --tokenizer depth=PATH"):
        found.require_tokenizers(found.build_modalities(default_registry())["depth"])


def test_a_model_of_other_modalities_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder, expected=("depth", "rgb"))
    assert str(caught.value) == f"{folder} is a model of depth, caption; expected one of depth, rgb."


def test_a_folder_that_is_no_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path / "nowhere")
    place = tmp_path / "nowhere"
    assert str(caught.value) == f"{place / CONFIG_FILE} is missing: {place} is not a model's folder."


def test_a_file_in_place_of_a_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a model's folder"):
        load_model(folder / CARD_FILE)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, TEXT_TOKENIZER_FILE, CARD_FILE])
def test_a_missing_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"is incomplete|is missing|cannot be read") as caught:
        load_model(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, TEXT_TOKENIZER_FILE, CARD_FILE, CONFIG_FILE])
def test_a_damaged_file(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_setting_that_is_not_known(folder: Path) -> None:
    content = json.loads((folder / CONFIG_FILE).read_text())
    content["model"]["witdh"] = 3
    (folder / CONFIG_FILE).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"config\.json does not describe a model: .*witdh"):
        load_model(folder)


def test_a_published_checkpoint_is_to_be_imported(folder: Path) -> None:
    (folder / CONFIG_FILE).write_text(json.dumps({"domains_in": ["rgb@224"]}))
    with pytest.raises(CheckpointError, match="is a published checkpoint: run fourm import-checkpoint"):
        load_model(folder)


def test_weights_of_another_shape(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS_FILE)
    name = next(name for name, value in weights.items() if value.ndim == 2)
    rows, columns = weights[name].shape
    weights[name] = torch.zeros(rows + 1, columns)
    save_file(weights, folder / WEIGHTS_FILE)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert str(caught.value) == (
        f"{folder / WEIGHTS_FILE}: {name} has shape {(rows + 1, columns)}, expected {(rows, columns)}."
    )


def test_weights_that_are_missing_or_unknown(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS_FILE)
    name = sorted(weights)[0]
    weights["surplus"] = weights.pop(name)
    save_file(weights, folder / WEIGHTS_FILE)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert str(caught.value) == f"{folder / WEIGHTS_FILE} lacks ['{name}'] and has unknown ['surplus']."


def test_other_files_of_the_folder_stay(folder: Path) -> None:
    (folder / "old").touch()
    save(folder, model(registers=2))
    assert (folder / "old").exists()
    assert load_model(folder).model.config.registers == 2
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_tokenizers_are_copied(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "model")
    shutil.rmtree(tmp_path / "tokenizers")
    found = load_model(folder)
    assert "depth" in found.tokenizers
    assert found.missing_option(found.build_modalities(default_registry())["depth"]) is None
