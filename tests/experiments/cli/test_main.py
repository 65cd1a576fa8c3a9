"""The command line: its commands, and the options that several of them share."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli.main import all_commands, command_module, main, parse_arguments
from experiments.cli.options import parse_pairs, shell_command, split_names
from experiments.schema.load import CONFIG_FOLDER
from modalities.errors import ConfigError


@pytest.mark.parametrize("name", all_commands())
def test_every_command_is_a_module_with_a_help_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = command_module(name)
    assert module.add_options.__doc__
    assert module.run.__doc__
    with pytest.raises(SystemExit) as ended:
        parse_arguments([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: fourm {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["predict", "generate", "evaluate", "export-checkpoint"])
def test_a_model_is_chosen_by_the_same_options_everywhere(name: str) -> None:
    own = {
        "predict": ["photo.png", "--to", "depth", "--model", "m"],
        "generate": ["--to", "depth", "--model", "m"],
        "evaluate": ["--model", "m"],
        "export-checkpoint": ["m", "out"],
    }
    arguments = parse_arguments([name, *own[name], "--arm", "small", "--model-seed", "3"])
    assert (arguments.model, arguments.arm, arguments.model_seed) == (Path("m"), "small", 3)


def test_the_seed_of_the_sampler_is_not_the_models() -> None:
    arguments = parse_arguments(["generate", "--to", "depth", "--model", "m", "--seed", "7"])
    assert (arguments.seed, arguments.model_seed) == (7, None)
    with pytest.raises(SystemExit):
        parse_arguments(["predict", "photo.png", "--to", "depth", "--model", "m", "--seed", "7"])


def test_train_is_ablate() -> None:
    assert parse_arguments(["train", "quickstart"]).run is parse_arguments(["ablate", "quickstart"]).run


def test_help_of_ablate_names_every_shipped_config(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["ablate", "--help"])
    printed = capsys.readouterr().out
    assert [path.stem for path in CONFIG_FOLDER.glob("*.yaml") if path.stem not in printed] == []


def test_an_unknown_command_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["albate", "quickstart"])
    assert ended.value.code == 2
    assert "ablate" in capsys.readouterr().err


def test_a_printed_command_comes_back_from_a_shell_as_it_was() -> None:
    words = ["fourm", "ui", "--root", "/tmp/two roots é", "arms={a: [rgb]}", "it's"]
    assert shlex.split(shell_command(*words)) == words


def test_names_and_pairs() -> None:
    assert split_names(" depth, ,semseg ") == ["depth", "semseg"]
    assert parse_pairs("--from", ["caption=a=b", "rgb=x.png"]) == {"caption": "a=b", "rgb": "x.png"}
    with pytest.raises(ConfigError, match="--from takes NAME=VALUE, got 'rgb'"):
        parse_pairs("--from", ["rgb"])
    with pytest.raises(ConfigError, match="--tokenizer takes NAME=PATH, got '=x'"):
        parse_pairs("--tokenizer", ["=x"], "NAME=PATH")
    with pytest.raises(ConfigError, match="--from gives 'rgb' twice"):
        parse_pairs("--from", ["rgb=a", "rgb=b"])


def test_the_list_of_commands_needs_no_torch() -> None:
    program = (
        "import atexit, sys\natexit.register(lambda: print('torch' in sys.modules))\n"
        "from experiments.cli.main import main\nmain(['--help'])"
    )
    root = CONFIG_FOLDER.parents[1]
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert finished.stdout.splitlines()[-1] == "False", finished.stderr


def test_colons_in_names_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "photo.png", "--to", "depth", "--model", str(tmp_path / "a:one:b")]) == 1
    assert "a:one:b is neither a model's folder" in capsys.readouterr().err
