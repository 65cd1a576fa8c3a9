"""The example in docs/generation.md runs as it stands."""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "generation.md"


def test_the_python_example_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, Any] = {}
    exec(compile(blocks[0], str(PAGE), "exec"), names)
    parts, half, column = names["parts"], names["half"], names["column"]
    assert (parts["depth"].ids[half] == column.values[half]).all()
    assert parts["depth"].known.all()
    assert bool(names["state"].parts["depth"].known.all())


def test_every_picture_is_there() -> None:
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text()):
        assert (PAGE.parent / name).is_file(), name
