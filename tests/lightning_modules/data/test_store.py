"""Tokens come back by number, from memory and from disk alike, and tokens of another tokenizer are refused."""

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lightning_modules.data.store import TokenStore, write_tokens
from modalities.errors import CheckpointError, DataError
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, TokenStream

DEPTH = GridStream(name="depth", num_tokens=4, vocabulary="depth", vocab_size=50, grid=2)
CAPTION = SequenceStream(name="caption", num_tokens=6, vocabulary="text", vocab_size=50)
PIXELS = PixelStream(name="rgb_pixels", num_tokens=4, channels=12, grid=2, patch=2)
T5 = EmbeddingStream(name="t5", num_tokens=3, channels=5)
STREAMS = (DEPTH, CAPTION, PIXELS, T5)

Values = dict[str, list[NDArray[Any] | None]]


def values(seed: int, count: int, *, lacking: bool) -> Values:
    """Random tokens of ``count`` samples, some of which lack a stream where ``lacking``."""
    rng = np.random.default_rng(seed)
    found: Values = {
        "depth": [rng.integers(1, 50, 4).astype(np.uint16) for _ in range(count)],
        "caption": [rng.integers(1, 50, rng.integers(1, 7)).astype(np.uint16) for _ in range(count)],
        "rgb_pixels": [rng.integers(1, 255, (4, 4, 3)).astype(np.uint8) for _ in range(count)],
        "t5": [rng.standard_normal((rng.integers(1, 4), 5)).astype(np.float16) for _ in range(count)],
    }
    if lacking:
        for number, column in enumerate(found.values()):
            column[number % count] = None
    return found


def write(folder: Path, content: Values) -> Path:
    """One shard."""
    for name, column in content.items():
        write_tokens(folder, name, column, f"print of {name}")
    return folder


def check(store: TokenStore, content: Values, wanted: list[int]) -> None:
    """Hold the store's columns against what was written, sample by sample."""
    columns = store.read(np.array(wanted), [stream.name for stream in STREAMS])
    for stream in STREAMS:
        column = columns[stream.name]
        expected = [content[stream.name][number] for number in wanted]
        rows = [0 if item is None else len(item) for item in expected]
        is_image = isinstance(stream, PixelStream)
        assert column.lengths.tolist() == [stream.num_tokens if is_image and n else n for n in rows]
        for found, item, count in zip(column.values.numpy(), expected, rows, strict=True):
            if item is not None:
                np.testing.assert_array_equal(found[:count], item)
            assert not found[count:].any()
        if isinstance(stream, TokenStream):
            assert column.values.dtype == torch.int64


@pytest.mark.parametrize("lacking", [False, True])
def test_tokens_come_back_in_any_order_from_several_shards(lacking: bool, tmp_path: Path) -> None:
    parts = [values(seed, count, lacking=lacking) for seed, count in enumerate((4, 3, 5))]
    folders = [write(tmp_path / str(number), part) for number, part in enumerate(parts)]
    content: Values = {name: [item for part in parts for item in part[name]] for name in parts[0]}
    store = TokenStore(folders, STREAMS)
    assert len(store) == 12
    for wanted in (list(range(12)), [11, 0, 6, 6, 3], [5], [4, 3]):
        check(store, content, wanted)
    one = TokenStore(folders[:1], STREAMS)
    check(one, parts[0], [3, 0, 1, 2])


@pytest.mark.parametrize("which", [0, 1])
def test_a_shard_whose_samples_all_lack_a_stream(which: int, tmp_path: Path) -> None:
    parts = [values(0, 3, lacking=False), values(1, 3, lacking=False)]
    for name in ("depth", "caption", "rgb_pixels", "t5"):
        parts[which][name] = [None] * 3
    folders = [write(tmp_path / str(number), part) for number, part in enumerate(parts)]
    content: Values = {name: [*parts[0][name], *parts[1][name]] for name in parts[0]}
    store = TokenStore(folders, STREAMS)
    assert len(store) == 6
    check(store, content, [5, 1, 0, 4])
    # A batch without a single value has the shape and the type that the stream has elsewhere.
    check(store, content, [3 * which, 3 * which + 2])
    empty, full = (store.read([number], ["rgb_pixels", "t5"]) for number in (3 * which, 3 - 3 * which))
    for name in ("rgb_pixels", "t5"):
        assert empty[name].values.shape[2:] == full[name].values.shape[2:]
        assert empty[name].values.dtype == full[name].values.dtype


@pytest.mark.parametrize("omitted", [[0], [11], [3, 4], [0, 1, 2, 3], [6, 2, 9, 10, 11], list(range(12))])
def test_samples_that_are_left_out_move_the_others_together(omitted: list[int], tmp_path: Path) -> None:
    parts = [values(seed, count, lacking=True) for seed, count in enumerate((4, 3, 5))]
    folders = [write(tmp_path / str(number), part) for number, part in enumerate(parts)]
    kept = [number for number in range(12) if number not in omitted]
    content: Values = {name: [item for part in parts for item in part[name]] for name in parts[0]}
    store = TokenStore(folders, STREAMS, omitted=omitted)
    assert len(store) == len(kept)
    check(
        store, {name: [column[number] for number in kept] for name, column in content.items()}, list(range(len(kept)))
    )
    with pytest.raises(IndexError):
        store.read([len(kept)], ["depth"])
    ids = [column for number in kept if (column := content["caption"][number]) is not None]
    assert store.used_ids("caption") == tuple(sorted({int(number) for item in ids for number in item}))


def test_all_ids_that_occur(tmp_path: Path) -> None:
    ids = [[3, 9, 3], [7], [40, 3]]
    for number, part in enumerate((ids, [[1], [9], [9]])):
        write_tokens(tmp_path / str(number), "caption", [np.array(item, np.uint16) for item in part], "f")
    folders = [tmp_path / "0", tmp_path / "1"]
    assert TokenStore(folders, [CAPTION]).used_ids("caption") == (1, 3, 7, 9, 40)
    assert TokenStore(folders, [CAPTION], omitted=[1, 2]).used_ids("caption") == (1, 3, 9)


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "0", values(0, 2, lacking=False))
    write_tokens(tmp_path / "1", "depth", values(0, 2, lacking=False)["depth"], "another")
    TokenStore([tmp_path / "0"], [DEPTH], fingerprints={"depth": "print of depth"})
    with pytest.raises(CheckpointError) as caught:
        TokenStore([tmp_path / "0", tmp_path / "1"], [DEPTH], fingerprints={"depth": "print of depth"})
    assert str(caught.value) == (
        f"{tmp_path / '1' / 'depth'} holds tokens of tokenizer another, expected print of depth: "
        "the tokenizer was trained again; make the tokens again too."
    )


def test_streams_with_unequal_counts(tmp_path: Path) -> None:
    write(tmp_path, {**values(0, 4, lacking=False), "caption": values(0, 3, lacking=False)["caption"]})
    with pytest.raises(DataError) as caught:
        TokenStore([tmp_path], [DEPTH, CAPTION])
    assert str(caught.value) == (
        "Streams have unequal counts of samples: depth 4, caption 3. Make the token store again."
    )


def test_a_count_that_is_not_the_manifests(tmp_path: Path) -> None:
    write(tmp_path, values(0, 4, lacking=False))
    place = tmp_path / "depth" / "manifest.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "count": 9}))
    with pytest.raises(DataError, match="has 4 samples, expected 9"):
        TokenStore([tmp_path], [DEPTH])


def test_a_stream_that_is_not_there(tmp_path: Path) -> None:
    write_tokens(tmp_path, "depth", values(0, 2, lacking=False)["depth"], "f")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'caption'} has no manifest.json")):
        TokenStore([tmp_path], [DEPTH, CAPTION])


def test_two_flipped_bytes_in_the_middle_are_found_where_everything_is_read(tmp_path: Path) -> None:
    write_tokens(tmp_path, "depth", [np.full(4, number, np.uint16) for number in range(2_000)], "f")
    place = tmp_path / "depth" / "tokens.npy"
    content = place.read_bytes()
    place.write_bytes(content[:8_000] + bytes(255 - byte for byte in content[8_000:8_002]) + content[8_002:])
    TokenStore([tmp_path], [DEPTH])
    with pytest.raises(DataError, match=r"depth/tokens\.npy is damaged: its checksum is \d+, expected \d+\. Delete"):
        TokenStore([tmp_path], [DEPTH], verify_checksums=True)


def test_a_store_goes_to_another_process_without_its_content(tmp_path: Path) -> None:
    write_tokens(tmp_path, "depth", [np.full(4, number % 50, np.uint16) for number in range(20_000)], "f")
    store = TokenStore([tmp_path], [DEPTH])
    before = store.read([19_999, 3], ["depth"])["depth"].values
    sent = pickle.dumps(store)
    assert len(sent) < 4_000
    assert torch.equal(pickle.loads(sent).read([19_999, 3], ["depth"])["depth"].values, before)


@pytest.mark.parametrize("file", ["tokens.npy", "tokens.offsets.npy"])
def test_a_truncated_file(file: str, tmp_path: Path) -> None:
    write(tmp_path, values(0, 4, lacking=False))
    place = tmp_path / "caption" / file
    os.truncate(place, place.stat().st_size - 1)
    with pytest.raises(DataError, match="it is truncated or was changed") as caught:
        TokenStore([tmp_path], [CAPTION])
    assert str(place) in str(caught.value)


def test_a_corrupt_file_of_the_same_size(tmp_path: Path) -> None:
    write(tmp_path, values(0, 4, lacking=False))
    place = tmp_path / "depth" / "tokens.npy"
    place.write_bytes(bytes(place.stat().st_size))
    with pytest.raises(DataError, match=r"tokens\.npy is damaged") as caught:
        TokenStore([tmp_path], [DEPTH])
    assert "\n" not in str(caught.value)


def test_writing_a_stream_leaves_the_others(tmp_path: Path) -> None:
    write(tmp_path, values(0, 4, lacking=False))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "caption").iterdir()}
    write_tokens(tmp_path, "depth", values(5, 4, lacking=False)["depth"], "new")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "caption").iterdir()} == before
    found = TokenStore([tmp_path], [DEPTH], fingerprints={"depth": "new"}).read(np.arange(4), ["depth"])
    np.testing.assert_array_equal(found["depth"].values.numpy(), np.stack(values(5, 4, lacking=False)["depth"]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(50, np.uint16), (65_536, np.uint16), (65_537, np.uint32), (1 << 18, np.uint32)]
)
def test_ids_up_to_the_vocabulary_s_last_survive_a_round_trip(vocab_size: int, dtype: type, tmp_path: Path) -> None:
    ids = [np.array([0, min(70_000, vocab_size - 1), vocab_size - 1, 1]), np.array([7, 7, 7, 7])]
    write_tokens(tmp_path, "depth", ids, "f", vocab_size=vocab_size)
    assert np.load(tmp_path / "depth" / "tokens.npy").dtype == dtype
    read = TokenStore([tmp_path], [DEPTH]).read([1, 0], ["depth"])["depth"].values
    assert read.dtype == torch.int64
    assert read.tolist() == [ids[1].tolist(), ids[0].tolist()]


def test_shards_of_different_width_are_read_as_one(tmp_path: Path) -> None:
    write_tokens(tmp_path / "0", "caption", [np.array([3, 70_000]), None], "f", vocab_size=100_000)
    write_tokens(tmp_path / "1", "caption", [None, None], "f", vocab_size=100_000)
    store = TokenStore([tmp_path / "0", tmp_path / "1"], [CAPTION])
    assert store.read([3, 0, 1], ["caption"])["caption"].values.tolist() == [[0, 0], [3, 70_000], [0, 0]]


@pytest.mark.parametrize("bad", [-1, 50, 70_000])
def test_an_id_outside_the_vocabulary_is_refused(bad: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"Stream 'depth' has the id {bad}, expected 0 to 49"):
        write_tokens(tmp_path, "depth", [np.array([3, bad, 4, 5])], "f", vocab_size=50)
    assert not (tmp_path / "depth").exists()
    with pytest.raises(DataError, match="expected at most 2\\^32"):
        write_tokens(tmp_path, "depth", [np.array([3, 3, 4, 5])], "f", vocab_size=(1 << 32) + 1)
