"""What every labeller has in common, and the registry of labellers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modalities.errors import BrokenPluginError, ConfigError, DuplicateNameError, UnknownNameError
from modalities.labellers.base import Labeller, copy_labeller, with_settings
from modalities.labellers.exact import CANNY_EDGES
from modalities.labellers.exact_metadata import METADATA_SEMANTIC
from modalities.labellers.registry import LabellerRegistry, default_labellers
from modalities.registry import PluginProvider, default_registry
from modalities.spec import Value


@dataclass(frozen=True, kw_only=True)
class Shout(Labeller):
    """The caption in capitals."""

    mark: str = "!"

    def label(self, values: Mapping[str, Value]) -> str:
        """The text."""
        return str(values["caption"]).upper() + self.mark


SHOUT = Shout(name="shout", output="mood", inputs=("caption",))


def provider(value: object, name: str = "shout") -> PluginProvider:
    return PluginProvider(name=name, origin="kit", load=lambda: value)


def test_a_batch_is_labelled_sample_by_sample() -> None:
    assert SHOUT.label_batch([{"caption": "a"}, {"caption": "b"}]) == ["A!", "B!"]


def test_settings_are_the_fields_of_the_subclass_and_change_the_fingerprint() -> None:
    other = with_settings(SHOUT, {"mark": "?"})
    assert (SHOUT.settings, other.settings) == ({"mark": "!"}, {"mark": "?"})
    assert SHOUT.fingerprint() != other.fingerprint()
    assert SHOUT.fingerprint() == Shout(name="shout", output="mood", inputs=("caption",)).fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"tone": 1}, "has no setting 'tone'; it has mark"), ({"mark": 3}, "shout.mark takes a str, got 3")],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_settings(SHOUT, settings)


def test_whole_numbers_and_lists_take_the_type_of_the_setting() -> None:
    assert with_settings(CANNY_EDGES, {"sigma": 2}).settings["sigma"] == 2.0
    assert with_settings(METADATA_SEMANTIC, {"walkable": ["road"]}).settings["walkable"] == ("road",)


def test_inputs_that_are_missing_leave_a_sample_out() -> None:
    assert SHOUT.select_inputs({"caption": "x", "rgb": 1}) == {"caption": "x"}
    assert SHOUT.select_inputs({"caption": None}) is None


def test_a_copy_is_the_value_itself() -> None:
    labeller = copy_labeller("caption", "MIT")
    assert labeller.label({"caption": "as it is"}) == "as it is"
    assert labeller.license == "MIT"


def test_every_built_in_labeller_can_be_loaded_and_names_modalities() -> None:
    loaded, problems = default_labellers().load_all()
    names = default_registry()
    assert not problems
    assert {name for item in loaded.values() for name in (item.output, *item.inputs, *item.optional_inputs)} <= {*names}
    assert all(item.name == name for name, item in loaded.items())


def test_a_plug_in_is_found_by_what_it_makes() -> None:
    assert LabellerRegistry([provider(SHOUT)]).find("mood") is SHOUT


def test_of_two_that_make_a_modality_one_has_to_be_chosen() -> None:
    other = Shout(name="yell", output="mood", inputs=("caption",))
    registry = LabellerRegistry([provider(SHOUT), provider(other, "yell")])
    with pytest.raises(ConfigError, match="made by shout, yell: choose one with --labeller mood=shout"):
        registry.find("mood")


def test_what_no_labeller_makes_is_said_with_the_reason_of_a_broken_one() -> None:
    registry = LabellerRegistry([provider(SHOUT), provider(7, "seven")])
    with pytest.raises(ConfigError, match=r"No labeller makes 'depth'. Labellers make mood.*expected a Labeller"):
        registry.find("depth")


def test_a_registry_refuses_two_of_a_name_and_another_name_than_published() -> None:
    with pytest.raises(DuplicateNameError, match="brought by both"):
        LabellerRegistry([provider(SHOUT), provider(SHOUT)])
    with pytest.raises(BrokenPluginError, match="calls itself 'shout'"):
        LabellerRegistry([provider(SHOUT, "loud")])["loud"]
    with pytest.raises(UnknownNameError, match=r"No labeller named 'shot'. Did you mean 'shout'"):
        LabellerRegistry([provider(SHOUT)])["shot"]


def test_the_labeller_of_the_page_works() -> None:
    text = (Path(__file__).parents[3] / "docs" / "labelling.md").read_text()
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "SHOUT =" in block)
    scope: dict[str, Any] = {"__name__": "shout_kit"}
    exec(compile(code, "labelling.md", "exec"), scope)
    registry = LabellerRegistry([provider(scope["SHOUT"])])
    assert registry.find("web_text").label({"caption": "A dog."}) == "A DOG.!"
