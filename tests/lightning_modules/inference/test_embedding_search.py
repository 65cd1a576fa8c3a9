"""Search against a sorted loop; what does not belong together; faiss against the exact search."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lightning_modules.inference.embedding_index import EmbeddingIndex, IndexInfo, write_index
from lightning_modules.inference.embedding_search import check_index, search_approximately, search_exact
from modalities.errors import DataError
from modalities.sources.config import SourceConfig

INFO = IndexInfo(
    space="encoder", width=8, inputs=("rgb",), fingerprint="01", model="runs/m", source=SourceConfig(), split="test"
)


def make_index(count: int, width: int = 8) -> EmbeddingIndex:
    vectors = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    return EmbeddingIndex(info=INFO, keys=[f"k{number}" for number in range(count)], vectors=vectors)


def test_answers_are_sorted_by_their_cosine() -> None:
    index, query = make_index(50), np.random.default_rng(1).normal(size=8).astype(np.float32)
    lengths = np.linalg.norm(index.vectors, axis=1) * np.linalg.norm(query)
    expected = sorted(zip((index.vectors @ query / lengths).tolist(), index.keys, strict=True), reverse=True)
    found = search_exact(index, query, 7)
    assert [item.key for item in found] == [key for _, key in expected[:7]]
    assert [item.similarity for item in found] == pytest.approx([value for value, _ in expected[:7]], abs=1e-6)
    assert len(search_exact(index, query, 99)) == 50


def test_an_approximate_search_finds_nearly_the_same_and_keeps_its_lists(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    index, path = make_index(4000), tmp_path / "index.safetensors"
    with write_index(path, INFO) as writer:
        for key, vector in zip(index.keys, index.vectors, strict=True):
            writer.add(key, vector)
    # A query near an entry: its list is probed.
    query = index.vectors[17] + np.float32(0.01)
    found = search_approximately(path, index, query, 5, faiss)
    assert found[0].key == "k17"
    assert found[0].similarity == pytest.approx(search_exact(index, query, 1)[0].similarity, abs=1e-5)
    cache = tmp_path / "index.safetensors.faiss"
    written = cache.stat().st_mtime_ns
    assert [item.key for item in search_approximately(path, index, query, 5, faiss)] == [item.key for item in found]
    assert cache.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "02"}, r"was made by the model 02 \(runs/m\), expected 01"),
        ({"space": "dinov2_global"}, r"space 'dinov2_global' and width 8, expected 'encoder' and 8"),
        ({"width": 9}, r"space 'encoder' and width 9, expected 'encoder' and 8"),
    ],
)
def test_an_index_of_another_model_space_or_width_is_refused(changes: dict[str, Any], message: str) -> None:
    embedder = cast(Any, _Embedder())
    index = make_index(3)
    check_index(Path("i.safetensors"), index, embedder)
    with pytest.raises(DataError, match=message):
        check_index(Path("i.safetensors"), replace(index, info=replace(INFO, **changes)), embedder)


def test_an_empty_index_is_refused() -> None:
    with pytest.raises(DataError, match=r"i\.safetensors is empty"):
        check_index(Path("i.safetensors"), make_index(0), cast(Any, _Embedder()))


class _Embedder(SimpleNamespace):
    space, width, fingerprint, inputs = "encoder", 8, "01", ("rgb",)
    modalities: dict[str, Any] = {}  # noqa: RUF012

    def embed(self, samples: Any, *, first: int = 0) -> list[Any]:
        raise NotImplementedError
