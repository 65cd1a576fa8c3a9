"""Splits: shares that do not move, groups that stay together, lists that may not overlap."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modalities.errors import ConfigError, DataError, UserError
from modalities.sources.splits import DEFAULT_SHARES, shuffle_keys, split_keys, split_of, unlisted_keys

KEYS = [f"{number:05d}" for number in range(4000)]


def _split(keys: list[str], tmp_path: Path, **options: Any) -> dict[str, list[str]]:
    return split_keys(keys, options, "photos", tmp_path)


def test_shares_hold_every_sample_once_and_are_as_large_as_asked_for(tmp_path: Path) -> None:
    found = _split(KEYS, tmp_path)
    assert Counter(key for keys in found.values() for key in keys) == Counter(KEYS)
    for name, share in DEFAULT_SHARES.items():
        assert len(found[name]) / len(KEYS) == pytest.approx(share, abs=0.015), name


def test_a_sample_stays_in_its_split_when_others_are_added_or_removed(tmp_path: Path) -> None:
    before = _split(KEYS[:2000], tmp_path)
    after = _split(KEYS[500:], tmp_path)
    owner = {key: name for name, keys in before.items() for key in keys}
    moved = [key for name, keys in after.items() for key in keys if owner.get(key, name) != name]
    assert moved == []
    # Of samples that stay, the order stays too.
    assert [key for key in before["train"] if key in set(after["train"])] == [
        key for key in after["train"] if key in set(before["train"])
    ]


def test_the_first_samples_are_a_selection_by_chance() -> None:
    shuffled = shuffle_keys(reversed(KEYS))
    assert sorted(shuffled) == KEYS
    assert shuffled == shuffle_keys(KEYS)
    assert sum(int(key) for key in shuffled[:400]) / 400 == pytest.approx(2000, rel=0.1)


def test_samples_of_one_group_go_to_one_split(tmp_path: Path) -> None:
    keys = [f"block{number % 97}/{number}" for number in range(2000)]
    found = _split(keys, tmp_path, splits={"train": 0.5, "test": 0.5}, group="^([^/]+)/")
    blocks = [{key.split("/")[0] for key in found[name]} for name in ("train", "test")]
    assert not blocks[0] & blocks[1]
    assert len(blocks[0] | blocks[1]) == 97
    assert {split_of(block, {"train": 0.5, "test": 0.5}) for block in blocks[0]} == {"train"}


def test_lists_of_keys_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("00003\n00001\n\n")
    (tmp_path / "test.txt").write_text("00002\n")
    found = _split(KEYS[:5], tmp_path, splits={"train": "train.txt", "test": "test.txt"})
    assert found == {"train": ["00003", "00001"], "test": ["00002"]}
    assert unlisted_keys(KEYS[:5], found) == ["00000", "00004"]


def test_lists_that_overlap_or_name_what_is_missing_are_errors(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("00001\n00002\n")
    (tmp_path / "test.txt").write_text("00002\n")
    with pytest.raises(DataError, match=r"test\.txt names the sample '00002' and so does that of split 'train'"):
        _split(KEYS, tmp_path, splits={"train": "train.txt", "test": "test.txt"})
    (tmp_path / "test.txt").write_text("00003\n00003\n")
    with pytest.raises(DataError, match=r"test\.txt names the sample '00003' twice"):
        _split(KEYS, tmp_path, splits={"train": "train.txt", "test": "test.txt"})
    (tmp_path / "test.txt").write_text("rgb/9.png\n")
    with pytest.raises(DataError, match=r"names 1 samples that photos does not have, such as 'rgb/9\.png'"):
        _split(KEYS, tmp_path, splits={"test": "test.txt"})
    with pytest.raises(DataError, match="There is no file"):
        _split(KEYS, tmp_path, splits={"test": "none.txt"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": {"train": 0.5}}, "must add up to 1, got 0.5"),
        ({"splits": {"train": 1.5, "test": -0.5}}, r"splits\.train must be a share from 0 to 1"),
        ({"splits": {"train": 0.5, "test": "test.txt"}}, r"splits\.test must be a share"),
        ({"splits": []}, "must map splits to shares"),
        ({"group": "["}, "no regular expression"),
        ({"group": "a"}, "one group in brackets"),
        ({"group": "^(x)"}, "sample '0.*' of photos has no group"),
        ({"splits": {"train": "train.txt"}, "group": "(.)"}, r"options\.group is for shares"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((UserError, ConfigError), match=message):
        split_keys(KEYS, options, "photos", tmp_path)
