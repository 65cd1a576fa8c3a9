from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.reference_levels import ReferenceLevels
from modalities.errors import DataError


def test_reference_levels_come_back_from_their_folder(reference_levels: ReferenceLevels, tmp_path: Path) -> None:
    reference_levels.save(tmp_path / "baselines")
    found = ReferenceLevels.load(tmp_path / "baselines")
    assert [score.key for score in found.scores] == [score.key for score in reference_levels.scores]
    np.testing.assert_allclose([s.value for s in found.scores], [s.value for s in reference_levels.scores])
    for name, table in reference_levels.unigrams.items():
        torch.testing.assert_close(found.unigrams[name].log_probability, table.log_probability)


def test_a_truncated_file_is_an_error_that_names_it(reference_levels: ReferenceLevels, tmp_path: Path) -> None:
    reference_levels.save(tmp_path)
    whole = (tmp_path / "unigrams.safetensors").read_bytes()
    (tmp_path / "unigrams.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"unigrams\.safetensors cannot be read"):
        ReferenceLevels.load(tmp_path)
