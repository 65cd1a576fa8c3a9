"""The pages: their commands are commands, their links lead somewhere, their code runs."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from experiments.cli.main import parse_arguments
from experiments.schema.load import find_config, load_config
from modalities.conformance.check import assert_conforms
from modalities.sources.registry import BUILTIN_SOURCES
from modalities.sources.scenes import scene_values

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def _commands() -> list[str]:
    """Lines of the pages that call `fourm`, their comments left out."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        found += [
            line.strip().split("  #")[0] for line in text.splitlines() if re.match(r"(    |\$ )?fourm [a-z]", line)
        ]
    # Capitals and square brackets stand for what a person fills in.
    return sorted({line for line in found if not re.search(r"\b[A-Z]{3,}\b|\[--", line)})


@pytest.mark.parametrize("command", _commands())
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command.removeprefix("$ "), comments=True)[1:]
    arguments = parse_arguments(words)
    if words[0] in ("ablate", "train"):
        load_config(find_config(arguments.config), arguments.overrides)


def test_there_are_commands() -> None:
    assert len(_commands()) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    names = set(
        re.findall(
            r"`((?:docs|tests|benchmarks|modalities|networks|lightning_modules|evaluation|experiments)/[\w/.]+\.\w+)`",
            page.read_text(),
        )
    )
    assert not [name for name in names if not (ROOT / name).exists()]


def test_the_plug_in_of_the_tutorial_conforms() -> None:
    text = (ROOT / "docs" / "adding_a_modality.md").read_text()
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "MODALITY =" in block)
    # The entry point's module has a name, which a dataclass asks for.
    scope: dict[str, object] = {"__name__": "brightness_kit"}
    exec(compile(code, "adding_a_modality.md", "exec"), scope)
    modality: Any = scope["MODALITY"]
    view: Any = scope["view"]
    assert_conforms(modality, scene_values(modality, view))


def test_every_kind_of_source_has_settings_that_load(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "own_data.md").read_text()
    kinds = set()
    for block in re.findall(r"```yaml\n(data:.*?)```", text, re.S):
        (tmp_path / "example.yaml").write_text(block)
        kinds.add(load_config(tmp_path / "example.yaml").data.source.kind)
    assert kinds == set(BUILTIN_SOURCES)
