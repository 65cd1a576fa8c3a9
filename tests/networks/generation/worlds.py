"""A small model and inputs for the tests of generation, and the same questions asked in the plainest way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from modalities.text import EOS_ID
from networks.batch import IGNORE, Column, Rows, TokenBatch
from networks.fourm import FourM
from networks.generation.canvas import Part
from networks.generation.generate import generate
from networks.generation.inputs import Given
from networks.generation.plan import Decoding, Plan, Scheme
from networks.generation.schedules import Temperature
from networks.streams import Stream, StreamKind
from tests.networks.small import small_config

SAID = (3, 5, 6, 7, *range(204, 230))
"""What sequences can say: the end token, three sentinels and 26 words."""

STREAMS = (
    Stream(name="rgb_pixels", kind=StreamKind.pixels, num_tokens=16, channels=12, grid=4, patch=2),
    Stream(name="rgb", kind=StreamKind.grid, num_tokens=16, vocabulary="rgb", vocab=11, grid=4),
    Stream(name="depth", kind=StreamKind.grid, num_tokens=16, vocabulary="depth", vocab=7, grid=4),
    Stream(name="code", kind=StreamKind.grid, num_tokens=3, vocabulary="code", vocab=6),
    Stream(name="caption", kind=StreamKind.sequence, num_tokens=12, vocabulary="text", vocab=230, predictable=SAID),
    Stream(name="boxes", kind=StreamKind.sequence, num_tokens=10, vocabulary="text", vocab=230, predictable=SAID),
    Stream(name="t5", kind=StreamKind.embedding, num_tokens=3, channels=9),
)
INDEX = {stream.name: number for number, stream in enumerate(STREAMS)}
S1, S2, S3 = 5, 6, 7
"""The first sentinels."""
GREEDY = Decoding(scheme=Scheme.maskgit, temperature=Temperature(start=0.0))


def model(seed: int = 0) -> FourM:
    """A model in double precision whose every part matters."""
    torch.manual_seed(seed)
    made = FourM(STREAMS, small_config()).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for table in (made.tokens, made.heads, made.decoder_tokens):
            table.table[-1].zero_()
        assert made.places.learnt is not None
        made.places.learnt[0].zero_()
    return made.eval()


def grid(name: str, b: int = 3, *, seed: int = 0, known: int | None = None) -> Given:
    """Random tokens of a grid, of which the first ``known`` of a random order are known."""
    stream, generator = STREAMS[INDEX[name]], torch.Generator().manual_seed(seed)
    ids = torch.randint(0, stream.vocab, (b, stream.num_tokens), generator=generator)
    column = Column(values=ids, lengths=torch.full((b,), stream.num_tokens))
    if known is None:
        return Given(column=column)
    order = torch.rand(b, stream.num_tokens, generator=generator).argsort(1).argsort(1)
    return Given(column=column, known=order < known)


def text(rows: Sequence[Sequence[int]]) -> Given:
    """Sequences of ids."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return Given(column=Column(values=ids, lengths=torch.tensor([len(row) for row in rows])))


def pixels(b: int = 3, *, seed: int = 0) -> Given:
    """Random images."""
    values = torch.randint(0, 256, (b, 8, 8, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Given(column=Column(values=values, lengths=torch.full((b,), 16)))


def only(given: Given, sample: int) -> Given:
    """One sample alone, its sequence without padding."""
    column = given.column
    n = int(column.lengths[sample]) if column.values.ndim == 2 and given.known is None else None
    values = column.values[sample : sample + 1, :n] if n else column.values[sample : sample + 1]
    known = None if given.known is None else given.known[sample : sample + 1]
    return Given(column=Column(values=values, lengths=column.lengths[sample : sample + 1]), known=known)


Seen = Mapping[str, Mapping[int, int] | Sequence[int] | Tensor]
"""What one sample shows: ids by place of grids, ids of sequences, packed patches in order of place."""


def plain_logits(
    made: FourM, seen: Seen, target: str, places: Sequence[int], given: Sequence[int] | None = None
) -> Tensor:
    """Logits of one sample at places of one target by the whole forward pass, nothing kept and nothing shared."""
    ids: list[int] = []
    stream: list[int] = []
    position: list[int] = []
    rows: dict[str, Rows] = {}
    for name, content in seen.items():
        if isinstance(content, Tensor):
            slots = torch.arange(len(content)) + len(ids)
            rows[name] = Rows(values=content, slots=slots)
            pairs = [(0, place) for place in range(len(content))]
        elif isinstance(content, Mapping):
            pairs = [(token, place) for place, token in sorted(content.items())]
        else:
            pairs = [(token, place) for place, token in enumerate(content)]
        ids += [token for token, _ in pairs]
        position += [place for _, place in pairs]
        stream += [INDEX[name]] * len(pairs)
    asked = torch.tensor([list(places)])
    there = torch.ones_like(asked, dtype=torch.bool)
    batch = TokenBatch(
        ids=torch.tensor([ids or [0]]),
        stream=torch.tensor([stream or [0]]),
        position=torch.tensor([position or [0]]),
        visible=torch.full((1, max(len(ids), 1)), bool(ids)),
        rows=rows,
        decoder_ids=torch.tensor([list(given)]) if given else torch.zeros_like(asked),
        decoder_stream=torch.full_like(asked, INDEX[target]),
        decoder_position=asked,
        decoder_visible=there,
        targets=torch.zeros_like(asked),
    )
    with torch.no_grad():
        logits, _ = made.logits(replace(batch, targets=torch.where(there, 0, IGNORE)))[target]
    return logits


def patches_of(given: Given, sample: int) -> Tensor:
    """Every patch of one image, cut by hand, levels from -1 to 1."""
    image = given.column.values[sample].double() / 127.5 - 1
    return torch.stack([image[y : y + 2, x : x + 2].flatten() for y in range(0, 8, 2) for x in range(0, 8, 2)])


def run(
    inputs: Mapping[str, Given],
    targets: list[str],
    plan: Plan,
    seed: int = 0,
    made: FourM | None = None,
    **more: object,
) -> Mapping[str, Part]:
    """Everything that is known at the end."""
    generator = torch.Generator().manual_seed(seed)
    return generate(made or model(), inputs, targets, plan, generator, **more)  # type: ignore[arg-type]


def shown_first(made: FourM, seen: Seen, target: str) -> Callable[[list[int]], Tensor]:
    """Logits of a sequence behind what one sample shows."""
    return lambda ids: plain_logits(made, seen, target, range(len(ids)), ids)


def plain_greedy(
    logits_of: Callable[[list[int]], Tensor], end: int, limit: int, *, confined: bool = False
) -> list[int]:
    """Greedy writing, the whole sequence again for every token; the closing token included.

    Args:
        confined: True where the next sentinel alone can be written, and the end token in the last gap alone.
    """
    given, due = [S1], S2
    while len(given) <= limit:
        logits = logits_of(given)[-1]
        if confined:
            others = [mark for mark in (S1, S2, S3) if mark != due]
            logits[others + ([EOS_ID] if due != end else [])] = -torch.inf
        given.append(int(logits.argmax()))
        due += given[-1] == due
        if given[-1] == end:
            break
    return given[1:]


def weighed_plainly(free: Tensor, *bound: tuple[float, Tensor]) -> Tensor:
    """The published formula, and what cannot be said in any branch left unsaid."""
    summed = free.clone()
    for weight, logits in bound:
        summed += weight * (logits - free)
    return torch.nan_to_num(summed, nan=-torch.inf)


def known_ids(given: Given, sample: int) -> dict[int, int]:
    """What is known of a grid in one sample: ids by place."""
    ids = given.column.values[sample].tolist()
    return {place: token for place, token in enumerate(ids) if given.known is None or bool(given.known[sample, place])}
