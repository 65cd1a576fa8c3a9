"""Masking of token samples: random inputs and targets for training, streams by name for evaluation.

Source: the input and target masking of 4M (arXiv:2312.06647, section 3; arXiv:2406.09406, section 3), for a whole batch
at once. Unlike in the published code, input-only streams take no share of the targets, and streams that a sample lacks
take no share at all.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray

from modalities.errors import UnknownNameError
from modalities.layouts import KeepScheme
from modalities.mixtures import MaskingPreset, Mixture
from networks.batch import Samples, TokenBatch
from networks.masking.assemble import assemble
from networks.masking.budgets import BudgetLimits, sample_budgets
from networks.masking.mixtures import KEEP_MODES, MaskingConfig, mixture_table
from networks.masking.selection import MaskPlan, select_tokens
from networks.masking.spans import merge_spans, split_spans
from networks.streams import GridStream, SequenceStream, Stream

__all__ = [
    "Masker",
    "MaskingConfig",
    "MaskingPreset",
    "Mixture",
    "merge_spans",
    "select",
    "select_partially",
    "split_spans",
]

UNLIMITED = 1 << 30
"""A budget above the length of any sequence."""


class Masker:
    """Draws encoder inputs and decoder targets. Stateless: all randomness comes from the generator."""

    def __init__(self, streams: Sequence[Stream], config: MaskingConfig) -> None:
        """Build the mixtures for some streams.

        Raises:
            ConfigError: The config's mixtures leave these streams without input or without target.
        """
        self.streams = tuple(streams)
        self.config = config
        self.tables = mixture_table(self.streams, config.components)

    def __call__(self, samples: Samples, generator: torch.Generator) -> TokenBatch:
        """A masked batch of fixed width, on the samples' device."""
        config, rng, lengths = self.config, numpy_generator(generator), stream_lengths(samples, self.streams)
        budgets = sample_budgets(
            self.tables,
            lengths > 0,
            self._budget_limits(lengths),
            _sample_totals(config.min_inputs, config.num_inputs, len(lengths), rng),
            _sample_totals(config.min_targets, config.num_targets, len(lengths), rng),
            rng,
            redistribute=config.redistribute,
        )
        uniform, kind = rng.random(lengths.shape), self.tables.keep[budgets.component]
        keep = np.where(kind == KEEP_MODES.index(KeepScheme.random), uniform, 1.0)
        keep = np.where(kind == KEEP_MODES.index(KeepScheme.binary), uniform < 0.5, keep)
        plan = MaskPlan(lengths=lengths, num_visible=budgets.inputs, num_targets=budgets.targets, keep_rate=keep)
        encoder, decoder = select_tokens(self.streams, plan, rng, shuffle=True)
        return assemble(samples, self.streams, encoder, decoder, (config.num_inputs, config.num_targets))

    def _budget_limits(self, lengths: Int[ndarray, "b s"]) -> BudgetLimits:
        """Limits of each stream: the sample's own length if tokens are redistributed, else the maximum length."""
        exclusive = np.array([isinstance(stream, GridStream) for stream in self.streams])
        if self.config.redistribute:
            # A sequence that is hidden as a whole has a sentinel before it and one behind it.
            return BudgetLimits(
                inputs=lengths, targets=np.where(exclusive | (lengths == 0), lengths, lengths + 2), exclusive=exclusive
            )
        max_tokens = np.array([stream.num_tokens for stream in self.streams]) * (lengths > 0)
        return BudgetLimits(inputs=max_tokens, targets=max_tokens, exclusive=exclusive)


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator seeded by one draw from ``generator``."""
    seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device)
    return np.random.Generator(np.random.SFC64(int(seed)))


def stream_lengths(samples: Samples, streams: Sequence[Stream]) -> Int[ndarray, "b s"]:
    """Number of tokens of each sample and stream; 0 for streams not in ``samples``."""
    nothing = torch.zeros_like(next(iter(samples.values())).lengths)
    columns = [samples[stream.name].lengths if stream.name in samples else nothing for stream in streams]
    lengths: ndarray = torch.stack(columns, dim=1).cpu().numpy().astype(np.int64)
    return lengths


def select(
    samples: Samples,
    streams: Sequence[Stream],
    *,
    inputs: Collection[str],
    targets: Collection[str],
    prompt_targets: bool = False,
) -> TokenBatch:
    """A batch with all of ``inputs`` visible and all of ``targets`` predicted, without randomness or extra padding.

    Args:
        prompt_targets: True to also show the first sentinel of target sequences, as published generation does. In
            training, a sequence without input budget shows nothing.

    Raises:
        UnknownNameError: There is no stream of that name.
        ValueError: A stream is both input and target, or is a target but cannot be predicted.
    """
    lengths = stream_lengths(samples, streams)
    input_mask, target_mask, is_text = _role_masks(streams, inputs, targets)
    prompt = target_mask & is_text & prompt_targets
    plan = MaskPlan(
        lengths=lengths,
        num_visible=np.where(input_mask, lengths, prompt * (lengths > 0)),
        num_targets=np.where(is_text, UNLIMITED, lengths) * target_mask * (lengths > 0),
        keep_rate=np.broadcast_to(input_mask.astype(np.float64), lengths.shape),
    )
    encoder, decoder = select_tokens(streams, plan, np.random.default_rng(0), shuffle=False)
    return assemble(samples, streams, encoder, decoder)


def select_partially(
    samples: Samples,
    streams: Sequence[Stream],
    *,
    inputs: Collection[str],
    target: str,
    share: float,
    generator: torch.Generator,
) -> TokenBatch:
    """A batch with all of ``inputs`` and a random ``share`` of ``target`` visible, and the rest of it predicted.

    Of a grid, exactly that share is visible, rounded. Of a sequence, each token is visible with that probability.
    The mask does not depend on other streams: models of different modalities get equal masks from equal seeds.

    Raises:
        UnknownNameError: There is no stream of that name.
        ValueError: The target is an input too, or cannot be predicted.
    """
    lengths = stream_lengths(samples, streams)
    input_mask, target_mask, is_text = _role_masks(streams, inputs, [target])
    encoder_width = np.where(is_text, UNLIMITED * (share > 0), np.rint(lengths * share).astype(np.int64))
    plan = MaskPlan(
        lengths=lengths,
        num_visible=np.where(input_mask, lengths, encoder_width * target_mask) * (lengths > 0),
        num_targets=np.where(is_text, UNLIMITED, lengths - encoder_width) * target_mask * (lengths > 0),
        keep_rate=np.broadcast_to(np.where(input_mask, 1.0, share), lengths.shape),
    )
    encoder, decoder = select_tokens(streams, plan, numpy_generator(generator), shuffle=False)
    return assemble(samples, streams, encoder, decoder)


def _sample_totals(min_tokens: int | None, max_tokens: int, b: int, rng: np.random.Generator) -> Int[ndarray, " b"]:
    """Total budget of each sample."""
    return rng.integers(max_tokens if min_tokens is None else min_tokens, max_tokens, b, endpoint=True)


def _role_masks(
    streams: Sequence[Stream], inputs: Collection[str], targets: Collection[str]
) -> tuple[Bool[ndarray, " s"], Bool[ndarray, " s"], Bool[ndarray, " s"]]:
    """Masks of the streams that are inputs, targets, and sequences."""
    known = [stream.name for stream in streams]
    for name in (*inputs, *targets):
        if name not in known:
            raise UnknownNameError("stream", name, known)
    for stream in streams:
        if stream.name in inputs and not stream.is_input:
            raise ValueError(f"Stream {stream.name!r} is given but cannot be an input.")
        if stream.name in targets and (stream.name in inputs or not stream.is_target):
            reason = "is an input too" if stream.is_target else "cannot be predicted"
            raise ValueError(f"Stream {stream.name!r} is a target but {reason}.")
    input_mask, target_mask = (
        np.array([name in inputs for name in known]),
        np.array([name in targets for name in known]),
    )
    return input_mask, target_mask, np.array([isinstance(stream, SequenceStream) for stream in streams])
