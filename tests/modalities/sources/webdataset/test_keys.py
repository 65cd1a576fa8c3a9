"""Keys of shards are those of a plain list."""

import numpy as np
import pytest

from modalities.sources.webdataset.keys import ShardKeys


def test_keys_are_a_plain_list() -> None:
    shards = {"a": ["x", "ä/y"], "b": [], "c": ["z" * 40]}
    keys = ShardKeys({name: np.array([key.encode() for key in own], dtype=np.bytes_) for name, own in shards.items()})
    expected = ["a/x", "a/ä/y", "c/" + "z" * 40]
    assert list(keys) == expected
    assert keys[-1] == expected[-1]
    assert keys[1:] == expected[1:]
    with pytest.raises(IndexError):
        keys[3]
