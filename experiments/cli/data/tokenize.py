"""``fourm tokenize``: tokens of a data source by a trained model's tokenizers."""

import argparse
from pathlib import Path

from rich.console import Console

from experiments.cli.data.label import parse_part
from experiments.cli.options import print_lines, split_names
from experiments.data_source import open_data_source, parse_data
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.inputs import inference_device
from experiments.tokenization.plan import TokenFormat, plan_token_shards, plan_tokenization, write_description
from experiments.tokenization.write import tokenize_shards
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import load_model
from modalities.errors import ConfigError
from modalities.registry import default_registry
from modalities.sources.base import source_notes


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the source, the tokenizers, the folder and how the work is shared."""
    parser.add_argument("source", help="KIND:PATH (webdataset:tars), a folder, or a YAML file with its section data")
    parser.add_argument(
        "--tokenizers", type=Path, required=True, help="a model's folder, or an ablation's (runs/quickstart)"
    )
    parser.add_argument("--arm", help="arm of an ablation; if not given, the last one in its config")
    parser.add_argument("--model-seed", type=int, help="seed of an ablation's model; if not given, the last one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tokens")
    parser.add_argument(
        "--format",
        choices=[item.value for item in TokenFormat],
        default=TokenFormat.store.value,
        help="a folder of files a shard, or one tar a modality and shard as published for 4M (default %(default)s)",
    )
    parser.add_argument("--split", default="", help="splits, as in train,validation; if not given, all")
    parser.add_argument("--shard", type=int, default=512, help="samples of a shard (default %(default)s)")
    parser.add_argument("--limit", type=int, help="most samples of each split; scenes need it")
    parser.add_argument("--part", default="1/1", help="part of the shards that this call makes, as in 3/8")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Tokenize, and print what was made and what was not.

    Raises:
        UserError: The source or the model do not fit, or a value cannot be read.
    """
    for option in ("shard", "limit"):
        if (number := getattr(arguments, option)) is not None and number < 1:
            raise ConfigError(f"--{option} must be at least 1, got {number}.")
    part, count = parse_part(arguments.part)
    data, notes = parse_data(arguments.source)
    folder = find_model(arguments.tokenizers, arguments.arm, arguments.model_seed)
    loaded = load_model(folder)
    modalities = loaded.build_modalities(default_registry())
    source = open_data_source(data, modalities)
    plan = plan_tokenization(loaded, modalities, source, arguments.out, TokenFormat(arguments.format))
    print_lines(console, [*notes, *source_notes(source), *plan.notes], style="yellow")
    for item in plan.codec.tokenizers.values():
        item.to(inference_device(ExperimentConfig()))
    splits = split_names(arguments.split) or list(source.splits)
    shards = [
        shard
        for split in splits
        for shard in plan_token_shards(plan, split, shard_size=arguments.shard, limit=arguments.limit)
    ][part - 1 :: count]
    write_description(plan, folder, arguments.shard)
    with console.status("") as status:
        made, kept = tokenize_shards(plan, shards, lambda done, total: status.update(f"{done} of {total} shards ..."))
    samples = sum(len(shard.keys) for shard in shards)
    words = f"{samples:,} samples of {', '.join(splits)} in {len(shards):,} shards: {made:,} made, {kept:,} were there"
    print_lines(console, [f"Tokens of {', '.join(plan.modalities)}, {words}: {arguments.out}"])
