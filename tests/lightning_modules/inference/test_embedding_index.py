"""Files of embeddings: written in parts and read back, as safetensors and Parquet; damaged and foreign files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lightning_modules.inference.embedding_index import IndexInfo, read_index, write_index
from modalities.errors import ConfigError, DataError
from modalities.sources.config import SourceConfig

INFO = IndexInfo(
    space="encoder",
    width=3,
    inputs=("rgb", "depth"),
    fingerprint="0123",
    model="runs/model",
    source=SourceConfig(kind="folder", path="photos"),
    split="test",
)
KEYS = ["a/1", "b \n 2", "ü"]


def vectors(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)


@pytest.fixture(params=[".safetensors", ".parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of either type that does not exist yet, in a folder that does not exist either."""
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / "indices" / f"index{request.param}"


def test_an_index_is_read_back(path: Path) -> None:
    rows = vectors(3)
    with write_index(path, INFO) as writer:
        for key, row in zip(KEYS, rows, strict=True):
            writer.add(key, row)
    index = read_index(path)
    assert index.info == INFO
    assert list(index.keys) == KEYS
    np.testing.assert_array_equal(index.vectors, rows)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_tokens_are_kept_by_sample(path: Path) -> None:
    rows, counts = vectors(3), [2, 0, 1]
    tokens = [vectors(10 + count)[:count] for count in counts]
    with write_index(path, INFO, with_tokens=True) as writer:
        for key, row, own in zip(KEYS, rows, tokens, strict=True):
            writer.add(key, row, own)
    if path.suffix == ".parquet":
        from pyarrow.parquet import read_table

        column = read_table(path)["tokens"].to_pylist()
        found = [np.array(item, dtype=np.float32).reshape(-1, 3) for item in column]
    else:
        content = load_file(path)
        assert content["token_counts"].tolist() == counts
        found = np.split(content["tokens"], np.cumsum(counts)[:-1])
    for one, other in zip(found, tokens, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(read_index(path).vectors, rows)


def test_an_error_leaves_the_old_file(path: Path) -> None:
    with write_index(path, INFO) as writer:
        writer.add("old", vectors(1)[0])
    with pytest.raises(AssertionError), write_index(path, INFO, with_tokens=True) as writer:
        writer.add("new", vectors(1)[0], None)
    assert list(read_index(path).keys) == ["old"]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_files_that_are_no_index(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"index\.npy has type '\.npy', expected \.safetensors or \.parquet"):
        read_index(tmp_path / "index.npy")
    with pytest.raises(DataError, match="There is no index"):
        read_index(tmp_path / "gone.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weights": np.zeros(3)}, foreign)
    with pytest.raises(DataError, match=r"foreign\.safetensors holds no embeddings"):
        read_index(foreign)
    damaged = tmp_path / "damaged.safetensors"
    with write_index(damaged, INFO) as writer:
        writer.add("a", vectors(1)[0])
    damaged.write_bytes(damaged.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"damaged\.safetensors is damaged"):
        read_index(damaged)
    unlike = tmp_path / "unlike.safetensors"
    with write_index(unlike, INFO) as writer:
        writer.add("a", torch.zeros(3).numpy())
        writer.keys.append("without a vector")
    with pytest.raises(DataError, match=r"has 2 keys and embeddings \(1, 3\), expected width 3"):
        read_index(unlike)
