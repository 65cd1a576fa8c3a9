"""Opening a source by its kind: built-in kinds, those of other packages, and settings that do not fit."""

from collections.abc import Mapping

import pytest

from modalities.errors import BrokenPluginError, ConfigError, UnknownNameError
from modalities.registry import PluginProvider, default_registry
from modalities.sources.base import Source
from modalities.sources.config import SourceConfig, parse_source
from modalities.sources.open import open_source
from modalities.sources.registry import default_sources
from modalities.sources.scenes import ScenesSource
from modalities.spec import Modality

MODALITIES = {"caption": default_registry()["caption"]}


def test_scenes_are_the_default() -> None:
    assert isinstance(open_source(SourceConfig(), MODALITIES), ScenesSource)


def test_a_kind_of_another_package_is_opened_with_its_settings() -> None:
    seen: list[tuple[SourceConfig, Mapping[str, Modality]]] = []

    def open_mine(config: SourceConfig, modalities: Mapping[str, Modality]) -> Source:
        seen.append((config, modalities))
        return ScenesSource()

    registry = default_sources()
    registry.add(PluginProvider(name="mine", origin="a test", load=lambda: open_mine))
    config = SourceConfig(kind="mine", path="somewhere", options={"depth": 3})
    assert isinstance(open_source(config, MODALITIES, registry), ScenesSource)
    assert seen == [(config, MODALITIES)]


def test_what_is_no_source_is_refused_in_a_line() -> None:
    with pytest.raises(UnknownNameError, match=r"No data source named 'scene'\. Did you mean 'scenes'"):
        open_source(SourceConfig(kind="scene"), MODALITIES)
    with pytest.raises(ConfigError, match="takes no path and no options, got the path 'photos'"):
        open_source(SourceConfig(path="photos"), MODALITIES)
    registry = default_sources()
    registry.add(PluginProvider(name="mine", origin="a test", load=lambda: 3))
    with pytest.raises(BrokenPluginError, match="a test published a int, expected a function"):
        registry["mine"]


def test_a_source_in_one_word() -> None:
    assert parse_source("scenes") == SourceConfig()
    assert parse_source("folder:a:b") == SourceConfig(kind="folder", path="a:b")
    with pytest.raises(ConfigError, match="expected KIND:PATH"):
        parse_source(":photos")
