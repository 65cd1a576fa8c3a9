"""From whole token samples to what the model sees and predicts: at random for training, by name for evaluation.

Source: the input and target masking of 4M (arXiv:2312.06647, section 3; arXiv:2406.09406, section 3), for a whole batch
at once. Unlike the published code, a stream that is an input only takes no share of the targets, and a stream that a
sample lacks takes no share of anything.
"""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from modalities.errors import UnknownNameError
from modalities.spec import Keep
from networks.assemble import assemble
from networks.batch import Samples, TokenBatch
from networks.budgets import Caps, draw_budgets
from networks.choice import Plan, choose, lengths_of
from networks.mixtures import KEEPS, MaskingConfig, Mixture, Recipe, tables
from networks.spans import merge_spans, split_spans
from networks.streams import Stream, StreamKind

__all__ = [
    "Masker",
    "MaskingConfig",
    "Mixture",
    "Recipe",
    "merge_spans",
    "select",
    "select_masked",
    "split_spans",
]

WITHOUT_LIMIT = 1 << 30
"""A budget that no sequence reaches."""


class Masker:
    """Draws what the encoder sees and what the decoder predicts. It keeps no state: all randomness is the generator's."""

    def __init__(self, streams: Sequence[Stream], config: MaskingConfig) -> None:
        """Take the streams of the run.

        Raises:
            ConfigError: The config's mixtures leave these streams without input or without target.
        """
        self.streams = tuple(streams)
        self.config = config
        self.tables = tables(self.streams, config.components)

    def __call__(self, samples: Samples, generator: torch.Generator) -> TokenBatch:
        """A masked batch of fixed width, on the samples' device, which must be the generator's."""
        config, lengths = self.config, lengths_of(samples, self.streams)
        b, device = len(lengths), lengths.device
        here = self.tables.to(device)
        budgets = draw_budgets(
            here,
            lengths > 0,
            self._caps(lengths),
            _totals(config.min_inputs, config.num_inputs, b, generator, device),
            _totals(config.min_targets, config.num_targets, b, generator, device),
            generator,
            redistribute=config.redistribute,
        )
        uniform = torch.rand(lengths.shape, generator=generator, device=device)
        kind = here.keep[budgets.component]
        keep = torch.where(kind == KEEPS.index(Keep.random), uniform, 1.0)
        keep = torch.where(kind == KEEPS.index(Keep.binary), (uniform < 0.5).float(), keep)
        plan = Plan(lengths=lengths, seen=budgets.inputs, asked=budgets.targets, keep=keep)
        encoder, decoder = choose(samples, self.streams, plan, generator, shuffle=True)
        return assemble(samples, self.streams, encoder, decoder, (config.num_inputs, config.num_targets))

    def _caps(self, lengths: Int[Tensor, "b s"]) -> Caps:
        """The most tokens of each stream: what a sample has where tokens are dealt again, else what there can be."""
        is_grid = [stream.kind is StreamKind.grid for stream in self.streams]
        shared = torch.tensor(is_grid, device=lengths.device)
        if self.config.redistribute:
            # A sequence that is hidden whole is asked for with a sentinel before and one behind it.
            return Caps(inputs=lengths, targets=torch.where(shared | (lengths == 0), lengths, lengths + 2), shared=shared)
        most = torch.tensor([stream.num_tokens for stream in self.streams], device=lengths.device) * (lengths > 0)
        return Caps(inputs=most, targets=most, shared=shared)


def select(
    samples: Samples,
    streams: Sequence[Stream],
    *,
    inputs: Collection[str],
    targets: Collection[str],
    prompt_targets: bool = False,
) -> TokenBatch:
    """A batch that shows ``inputs`` whole and asks for ``targets`` whole, with nothing random; as wide as it must be.

    Args:
        prompt_targets: Also show the first sentinel of each sequence that is asked for, as published generation does.
            In training a sequence without input budget shows nothing, so that is the default.

    Raises:
        UnknownNameError: There is no stream of that name.
        ValueError: A stream is both input and target, or is a target but cannot be predicted.
    """
    lengths = lengths_of(samples, streams)
    given, wanted = _named(streams, inputs, lengths.device), _named(streams, targets, lengths.device)
    _check_targets(streams, inputs, targets)
    is_text = torch.tensor([stream.kind is StreamKind.sequence for stream in streams], device=lengths.device)
    prompt = (wanted & is_text).long() * int(prompt_targets)
    plan = Plan(
        lengths=lengths,
        seen=torch.where(given, lengths, prompt * (lengths > 0)),
        asked=torch.where(wanted, torch.where(is_text, WITHOUT_LIMIT, lengths), 0) * (lengths > 0),
        keep=given.float().expand(lengths.shape),
    )
    encoder, decoder = choose(samples, streams, plan, torch.Generator(lengths.device), shuffle=False)
    return assemble(samples, streams, encoder, decoder)


def select_masked(
    samples: Samples,
    streams: Sequence[Stream],
    *,
    inputs: Collection[str],
    target: str,
    share: float,
    generator: torch.Generator,
) -> TokenBatch:
    """A batch that shows ``inputs`` whole and a random ``share`` of ``target``, and asks for the rest of it.

    Exactly that share of a grid, rounded, is visible. A sequence shows each token with that probability, and sentinels.
    Nothing else is drawn, so what other streams there are does not change the mask: runs with different modalities are
    asked the same from the same seed.

    Raises:
        UnknownNameError: There is no stream of that name.
        ValueError: The target is an input too, or cannot be predicted.
    """
    lengths = lengths_of(samples, streams)
    given, wanted = _named(streams, inputs, lengths.device), _named(streams, [target], lengths.device)
    _check_targets(streams, inputs, [target])
    is_text = torch.tensor([stream.kind is StreamKind.sequence for stream in streams], device=lengths.device)
    shown = torch.where(is_text, WITHOUT_LIMIT * int(share > 0), (lengths * share).round().long())
    plan = Plan(
        lengths=lengths,
        seen=torch.where(given, lengths, shown * wanted) * (lengths > 0),
        asked=torch.where(is_text, WITHOUT_LIMIT, lengths - shown) * wanted * (lengths > 0),
        keep=torch.where(given, 1.0, share).expand(lengths.shape),
    )
    encoder, decoder = choose(samples, streams, plan, generator, shuffle=False)
    return assemble(samples, streams, encoder, decoder)


def _totals(
    least: int | None, most: int, b: int, generator: torch.Generator, device: torch.device
) -> Int[Tensor, " b"]:
    """Each sample's whole budget."""
    return torch.randint(most if least is None else least, most + 1, (b,), generator=generator, device=device)


def _named(streams: Sequence[Stream], names: Collection[str], device: torch.device) -> Bool[Tensor, " s"]:
    """True for the streams of those names."""
    known = [stream.name for stream in streams]
    for name in names:
        if name not in known:
            raise UnknownNameError("stream", name, known)
    return torch.tensor([name in names for name in known], device=device)


def _check_targets(streams: Sequence[Stream], inputs: Collection[str], targets: Collection[str]) -> None:
    for stream in streams:
        if stream.name in targets and (stream.name in inputs or not stream.is_target):
            reason = "is an input too" if stream.is_target else "cannot be predicted"
            raise ValueError(f"Stream {stream.name!r} is asked for but {reason}.")
