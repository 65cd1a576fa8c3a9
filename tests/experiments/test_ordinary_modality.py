"""A modality that has no place in a scene is an ordinary modality: read, planned and checked without one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.planning import build_stage_plan
from experiments.schema.load import build_modalities, check_names, load_config
from modalities.conformance.check import assert_conforms
from modalities.errors import DataError
from modalities.kinds.discrete import EdgeMap
from modalities.layouts import Dense
from modalities.registry import PluginProvider, Registry, default_registry
from modalities.spec import Modality
from modalities.tokenizer_specs import ReconstructionLoss, ViTVQ

HEAT = EdgeMap(
    name="heat",
    title="Heat",
    layout=Dense(channels=1, size=224, patch=16),
    tokenizer=ViTVQ(name="heat", vocab_size=64, loss=ReconstructionLoss.smooth_l1),
)


@pytest.fixture
def registry() -> Registry:
    registry = default_registry()
    registry.add(PluginProvider(name="heat", origin="a test", load=lambda: HEAT))
    return registry


def _modalities(registry: Registry, *overrides: str) -> tuple[Modality, ...]:
    config = load_config(None, ["arms={mine: [rgb, heat]}", "scale={size: 32, patch: 8}", *overrides])
    check_names(config, registry)
    modalities = build_modalities(config, registry)
    build_stage_plan(config, modalities)
    return tuple(modalities.values())


def test_it_is_planned_from_a_folder_and_refused_for_scenes(registry: Registry, tmp_path: Path) -> None:
    for name in ("rgb", "heat"):
        (tmp_path / name).mkdir()
        for number in range(8):
            Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / name / f"{number}.png")
    folder = [
        "data.source.kind=folder",
        f"data.source.path={tmp_path}",
        "data.source.options={splits: {train: 0.5, validation: 0.5}}",
        "data.train=null",
        "data.validation=null",
    ]
    assert [item.name for item in _modalities(registry, *folder)] == ["rgb", "heat"]
    with pytest.raises(DataError, match="Scenes do not show 'heat'"):
        _modalities(registry)


def test_it_conforms_by_values_of_its_own() -> None:
    rng = np.random.default_rng(0)
    assert_conforms(HEAT, [(rng.random((224, 224)) > 0.9).astype(np.uint8) for _ in range(3)])
