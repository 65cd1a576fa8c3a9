"""The streams of the papers' 21 modalities at 224 x 224, and random samples of them."""

from collections.abc import Sequence

import torch

from modalities.presets import FOURM_21
from modalities.registry import default_registry
from networks.batch import Column, Samples
from networks.streams import Stream, StreamKind, streams_of

TEXT_VOCAB = 30_000
END = 3


def published_streams(names: Sequence[str] = FOURM_21) -> tuple[Stream, ...]:
    """The streams of some modalities at their published scale."""
    registry = default_registry()
    return streams_of({name: registry[name] for name in names}, TEXT_VOCAB)


def random_samples(streams: Sequence[Stream], b: int, seed: int = 0, *, missing: float = 0.0) -> Samples:
    """Random ids, pixels and vectors; sequences of all lengths with an end token; ``missing`` of the values left out."""
    generator = torch.Generator().manual_seed(seed)

    def integers(most: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, most, shape, generator=generator)

    samples: dict[str, Column] = {}
    for stream in streams:
        n = stream.num_tokens
        lengths = torch.full((b,), n)
        match stream.kind:
            case StreamKind.pixels:
                side = stream.grid * stream.patch
                values = integers(256, b, side, side, stream.channels // stream.patch**2).to(torch.uint8)
            case StreamKind.grid:
                values = integers(stream.vocab, b, n)
            case StreamKind.embedding:
                lengths = 1 + integers(n, b)
                values = torch.randn(b, n, stream.channels, generator=generator).half()
            case StreamKind.sequence:
                lengths = 1 + stream.chunk * integers((n - 1) // stream.chunk + 1, b)
                values = 300 + integers(stream.vocab - 300, b, n)
                values[torch.arange(b), lengths - 1] = END
        present = torch.rand(b, generator=generator) >= missing
        samples[stream.name] = Column(values=values, lengths=lengths * present)
    return samples
