"""The table of docs/values.md, made of what the modalities declare. Run as a module, it writes the table anew."""

from collections.abc import Mapping
from pathlib import Path

from modalities.registry import default_registry
from modalities.spec import Modality

PAGE = Path(__file__).parents[2] / "docs" / "values.md"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"


def value_table(modalities: Mapping[str, Modality]) -> str:
    """A line for each modality."""
    rows = ["| modality | value | unit | range | no measurement | files |", "| --- | --- | --- | --- | --- | --- |"]
    for name in sorted(modalities):
        spec = modalities[name].value_spec
        cells = [name, f"`{spec.type}` {spec.shape}".strip(), spec.unit, spec.range, spec.missing, spec.files]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def page_with(table: str) -> str:
    """The page with another table."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    return head + BEGIN + table + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with(value_table(default_registry())))
