"""The configs of the examples: settings that exist, modalities that are published, splits by group."""

import re
from pathlib import Path

import pytest

from experiments.schema.load import load_config
from modalities.registry import builtin_providers
from tests.examples.plugins import EXAMPLES, published_modalities


@pytest.mark.parametrize("example", ["earth", "emoji", "stamps"])
def test_a_config_names_modalities_that_are_built_in_or_its_own(example: str) -> None:
    config = load_config(EXAMPLES / example / f"{example}.yaml", [])
    known = {provider.name for provider in builtin_providers()} | set(published_modalities(example))
    assert set(config.all_modalities) <= known
    # Every plug-in is in an arm, so that the page's commands use all that is written.
    assert set(published_modalities(example)) <= set(config.all_modalities)
    assert config.data.source.path == example
    named = {name for source, targets in config.evaluation.routes.items() for name in (source, *targets)}
    assert named | set(config.evaluation.argmax) | set(config.training.pictures_of) <= set(config.all_modalities)


@pytest.mark.parametrize(
    ("example", "keys", "group"),
    [
        ("earth", ["n40w010_r0c0", "n40w010_r4c2"], "n40w010"),
        ("emoji", ["1f44b__1f44b-1f3fd", "1f44b__1f44b"], "1f44b"),
        ("stamps", ["animals/amphibians/frog-1", "animals/amphibians/cartoon/frog"], "frog"),
        ("stamps", ["symbols/alphabets/english/filled/uppercase/A_filled", "symbols/a/A_outline"], "A"),
        ("stamps", ["symbols/money/us/coins/dime", "food/dime_2"], "dime"),
    ],
)
def test_variants_of_one_thing_are_in_one_group(example: str, keys: list[str], group: str) -> None:
    pattern = str(load_config(EXAMPLES / example / f"{example}.yaml", []).data.source.options["group"])
    assert {match[1] for key in keys if (match := re.search(pattern, key))} == {group}


def test_every_example_has_the_files_that_its_page_names() -> None:
    page = (Path(EXAMPLES).parent / "docs" / "real_data.md").read_text()
    for example in ("earth", "emoji", "stamps"):
        assert f"fourm ablate examples/{example}/{example}.yaml" in page
        assert f"python -m fourm_{example} {example}" in page
        assert (EXAMPLES / example / "README.md").is_file()
