"""Tokens of a source by a model's tokenizers: what the codec makes of each value, in both forms, made once."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.cli.main import main
from experiments.tokenization.plan import DESCRIPTION_FILE
from lightning_modules.checkpoints.model import load_model
from lightning_modules.data.store import TokenStore
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from networks.streams import streams_of
from tests.experiments.small_folder import make_model_folder
from tests.modalities.sources.webdataset.test_source import write_published


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_folder(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Eleven samples, three of them without depth."""
    write_published(tmp_path / "tars" / "train", range(8), 0, ("rgb", "caption"))
    write_published(tmp_path / "tars" / "train", range(3, 8), 0, ("depth",))
    write_published(tmp_path / "tars" / "val", range(8, 11), 0)
    return tmp_path / "tars"


def tokenize(tars: Path, model: Path, out: Path, *options: str) -> int:
    return main(["tokenize", f"webdataset:{tars}", "--tokenizers", str(model), "--out", str(out), *options])


def expected_tokens(tars: Path, model: Path, split: str, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """What the codec makes of every value, in one batch."""
    loaded = load_model(model)
    modalities = loaded.build_modalities(default_registry())
    source = open_source(SourceConfig(kind="webdataset", path=str(tars)), modalities)
    codec = loaded.codec(default_registry())
    return {
        name: codec.encode(name, [source.read(key, modalities[name]) for key in source.keys(split)]) for name in names
    }


def test_a_store_holds_what_the_codec_makes(tars: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert tokenize(tars, model, out, "--shard", "3") == 0
    names = ("rgb", "depth", "caption")
    expected = expected_tokens(tars, model, "train", names)
    loaded = load_model(model)
    assert loaded.text_tokenizer is not None
    modalities = {name: loaded.build_modalities(default_registry())[name] for name in names}
    streams = streams_of(modalities, loaded.text_tokenizer.vocab_size)
    shards = sorted(path for path in (out / "train").iterdir() if path.name.isdigit())
    assert len(shards) == 3
    store = TokenStore(shards, streams)
    assert len(store) == 8
    found = store.read(np.arange(8), [stream.name for stream in streams])
    for name in names:
        for number, ids in enumerate(expected[name]):
            length = int(found[name].lengths[number])
            assert length == (0 if ids is None else len(ids))
            assert found[name].values[number, :length].tolist() == ([] if ids is None else ids.tolist())
    assert found["rgb_pixels"].values.shape[0] == 8


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]


def test_tars_are_as_published(tars: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert tokenize(tars, model, out, "--format", "webdataset", "--split", "train") == 0
    folders = {path.name for path in (out / "train").iterdir() if not path.name.startswith(".")}
    assert folders == {"tok_rgb@32", "tok_depth@32", "rgb", "caption"}
    for name, ids in expected_tokens(tars, model, "train", ("rgb", "depth")).items():
        found = _members(out / "train" / f"tok_{name}@32" / "shard-00000.tar")
        arrays = [np.load(io.BytesIO(content)) for content in found.values()]
        assert all(array.dtype == np.int16 and array.shape == (1, 16) for array in arrays)
        np.testing.assert_array_equal(np.concatenate(arrays), np.stack([item for item in ids if item is not None]))
    assert len(_members(out / "train" / "tok_depth@32" / "shard-00000.tar")) == 5
    source: Any = open_source(
        SourceConfig(kind="webdataset", path=str(out)), load_model(model).build_modalities(default_registry())
    )
    original: Any = open_source(SourceConfig(kind="webdataset", path=str(tars)), source.modalities)
    caption = source.modalities["caption"]
    assert [source.read(key, caption) for key in source.keys("train")] == [
        original.read(key, caption) for key in original.keys("train")
    ]


@pytest.mark.parametrize("form", ["store", "webdataset"])
def test_a_second_call_makes_what_is_missing(form: str, tars: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    options = ("--format", form, "--shard", "4", "--split", "train")
    assert tokenize(tars, model, out, *options, "--part", "1/2") == 0
    assert "1 made, 0 were there" in capsys.readouterr().out
    assert tokenize(tars, model, out, *options) == 0
    assert "1 made, 1 were there" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (out / "train").rglob("*") if path.is_file()}
    assert tokenize(tars, model, out, *options) == 0
    assert "0 made, 2 were there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in before}
    write_published(tars / "train", range(2, 8), 0, ("depth",))
    assert tokenize(tars, model, out, *options) == 0
    assert "2 made" in capsys.readouterr().out
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed
    assert all("depth" in str(path) or path.name == "keys.json" or ".records" in str(path) for path in changed)


def test_it_says_where_the_tokens_come_from_and_what_is_left_out(
    tars: Path, model: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"
    assert tokenize(tars, model, out, "--limit", "2", "--split", "train") == 0
    printed = capsys.readouterr().out
    assert "semseg is left out: webdataset:" in printed
    assert "Tokens of rgb, depth, caption, 2 samples of train in 1 shards" in printed
    described = json.loads((out / DESCRIPTION_FILE).read_text())
    assert described["source"] == f"webdataset:{tars}"
    assert described["modalities"]["rgb"]["num_tokens"] == 16


def test_what_does_not_fit_is_one_line(tars: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    scenes = ["tokenize", "scenes", "--tokenizers", str(model), "--out", str(out), "--split", "train"]
    assert main(scenes) == 1
    assert "say how many samples of split 'train', --limit N" in capsys.readouterr().err
    assert tokenize(tars, model, out, "--shard", "2", "--split", "train") == 0
    assert tokenize(tars, model, out, "--shard", "4", "--split", "train") == 1
    assert "has 2 shards beyond the 2 of this call, such as 0000" in capsys.readouterr().err
    assert tokenize(tars, model, out, "--shard", "2", "--split", "train", "--format", "webdataset") == 1
    assert "holds tokens in the form store" in capsys.readouterr().err
    assert tokenize(tars, model, out, "--shard", "0") == 1
    assert "--shard must be at least 1, got 0." in capsys.readouterr().err
