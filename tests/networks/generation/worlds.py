"""A small model and inputs for the tests of generation, and the same questions asked in the plainest way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from modalities.vocabulary import EOS_ID
from networks.batch import IGNORE, PackedInputs, PaddedTokens, TokenBatch
from networks.fourm.model import FourM
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig
from networks.generation.generate import generate
from networks.generation.inputs import ConditionInput
from networks.generation.schedules import Temperature
from networks.generation.state import KnownTokens
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, token_stream
from tests.networks.small import small_config

PREDICTABLE_IDS = (3, 5, 6, 7, *range(204, 230))
"""What sequences can say: the end token, three sentinels and 26 words."""

STREAMS = (
    PixelStream(name="rgb_pixels", num_tokens=16, channels=12, grid=4, patch=2),
    GridStream(name="rgb", num_tokens=16, vocabulary="rgb", vocab_size=11, grid=4),
    GridStream(name="depth", num_tokens=16, vocabulary="depth", vocab_size=7, grid=4),
    GridStream(name="code", num_tokens=3, vocabulary="code", vocab_size=6),
    SequenceStream(
        name="caption",
        num_tokens=12,
        vocabulary="text",
        vocab_size=230,
        predictable=PREDICTABLE_IDS,
    ),
    SequenceStream(
        name="boxes",
        num_tokens=10,
        vocabulary="text",
        vocab_size=230,
        predictable=PREDICTABLE_IDS,
    ),
    EmbeddingStream(name="t5", num_tokens=3, channels=9),
)
INDEX = {stream.name: number for number, stream in enumerate(STREAMS)}
S1, S2, S3 = 5, 6, 7
"""The first sentinels."""
GREEDY = DecodingConfig(scheme=DecodingScheme.maskgit, temperature=Temperature(start=0.0))


def model(seed: int = 0) -> FourM:
    """A model in double precision whose every part matters."""
    torch.manual_seed(seed)
    made = FourM(STREAMS, small_config()).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for table in (made.tokens, made.heads, made.decoder_token_embedding):
            table.table[-1].zero_()
        assert made.position_embedding.learned is not None
        made.position_embedding.learned[0].zero_()
    return made.eval()


def grid(name: str, b: int = 3, *, seed: int = 0, known: int | None = None) -> ConditionInput:
    """Random tokens of a grid, of which the first ``known`` of a random order are known."""
    stream, generator = token_stream(STREAMS[INDEX[name]]), torch.Generator().manual_seed(seed)
    ids = torch.randint(0, stream.vocab_size, (b, stream.num_tokens), generator=generator)
    column = PaddedTokens(values=ids, lengths=torch.full((b,), stream.num_tokens))
    if known is None:
        return ConditionInput(tokens=column)
    order = torch.rand(b, stream.num_tokens, generator=generator).argsort(1).argsort(1)
    return ConditionInput(tokens=column, known=order < known)


def text(rows: Sequence[Sequence[int]]) -> ConditionInput:
    """Sequences of ids."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return ConditionInput(tokens=PaddedTokens(values=ids, lengths=torch.tensor([len(row) for row in rows])))


def pixels(b: int = 3, *, seed: int = 0) -> ConditionInput:
    """Random images."""
    values = torch.randint(0, 256, (b, 8, 8, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return ConditionInput(tokens=PaddedTokens(values=values, lengths=torch.full((b,), 16)))


def single_sample(given: ConditionInput, sample: int) -> ConditionInput:
    """One sample alone, its sequence without padding."""
    column = given.tokens
    n = int(column.lengths[sample]) if column.values.ndim == 2 and given.known is None else None
    values = column.values[sample : sample + 1, :n] if n else column.values[sample : sample + 1]
    known = None if given.known is None else given.known[sample : sample + 1]
    return ConditionInput(tokens=PaddedTokens(values=values, lengths=column.lengths[sample : sample + 1]), known=known)


VisibleInputs = Mapping[str, Mapping[int, int] | Sequence[int] | Tensor]
"""What one sample shows: ids by place of grids, ids of sequences, packed patches in order of place."""


def plain_logits(
    made: FourM, visible: VisibleInputs, target: str, places: Sequence[int], given: Sequence[int] | None = None
) -> Tensor:
    """Logits of one sample at places of one target by the whole forward pass, nothing kept and nothing shared."""
    ids: list[int] = []
    stream: list[int] = []
    position: list[int] = []
    rows: dict[str, PackedInputs] = {}
    for name, content in visible.items():
        if isinstance(content, Tensor):
            slots = torch.arange(len(content)) + len(ids)
            rows[name] = PackedInputs(values=content, slots=slots)
            pairs = [(0, place) for place in range(len(content))]
        elif isinstance(content, Mapping):
            pairs = [(token, place) for place, token in sorted(content.items())]
        else:
            pairs = [(token, place) for place, token in enumerate(content)]
        ids += [token for token, _ in pairs]
        position += [place for _, place in pairs]
        stream += [INDEX[name]] * len(pairs)
    target_positions = torch.tensor([list(places)])
    target_visible = torch.ones_like(target_positions, dtype=torch.bool)
    batch = TokenBatch(
        ids=torch.tensor([ids or [0]]),
        stream=torch.tensor([stream or [0]]),
        position=torch.tensor([position or [0]]),
        visible=torch.full((1, max(len(ids), 1)), bool(ids)),
        rows=rows,
        decoder_ids=torch.tensor([list(given)]) if given else torch.zeros_like(target_positions),
        decoder_stream=torch.full_like(target_positions, INDEX[target]),
        decoder_position=target_positions,
        decoder_visible=target_visible,
        targets=torch.zeros_like(target_positions),
    )
    with torch.no_grad():
        logits, _ = made.logits(replace(batch, targets=torch.where(target_visible, 0, IGNORE)))[target]
    return logits


def patches_of(given: ConditionInput, sample: int) -> Tensor:
    """Every patch of one image, cut by hand, levels from -1 to 1."""
    image = given.tokens.values[sample].double() / 127.5 - 1
    return torch.stack([image[y : y + 2, x : x + 2].flatten() for y in range(0, 8, 2) for x in range(0, 8, 2)])


def run(
    inputs: Mapping[str, ConditionInput],
    targets: list[str],
    plan: GenerationConfig,
    seed: int = 0,
    made: FourM | None = None,
    **more: object,
) -> Mapping[str, KnownTokens]:
    """Everything that is known at the end."""
    generator = torch.Generator().manual_seed(seed)
    return generate(made or model(), inputs, targets, plan, generator, **more)  # type: ignore[arg-type]


def sequence_logits(made: FourM, visible: VisibleInputs, target: str) -> Callable[[list[int]], Tensor]:
    """Logits of a sequence behind what one sample shows."""
    return lambda ids: plain_logits(made, visible, target, range(len(ids)), ids)


def plain_greedy(
    stream_logits: Callable[[list[int]], Tensor], end: int, limit: int, *, restrict_sentinels: bool = False
) -> list[int]:
    """Greedy writing, the whole sequence again for every token; the closing token included.

    Args:
        confined: True where the next sentinel alone can be written, and the end token in the last gap alone.
    """
    given, due = [S1], S2
    while len(given) <= limit:
        logits = stream_logits(given)[-1]
        if restrict_sentinels:
            others = [mark for mark in (S1, S2, S3) if mark != due]
            logits[others + ([EOS_ID] if due != end else [])] = -torch.inf
        given.append(int(logits.argmax()))
        due += given[-1] == due
        if given[-1] == end:
            break
    return given[1:]


def plain_guidance(free: Tensor, *bound: tuple[float, Tensor]) -> Tensor:
    """The published formula, and what cannot be said in any branch left unsaid."""
    summed = free.clone()
    for weight, logits in bound:
        summed += weight * (logits - free)
    return torch.nan_to_num(summed, nan=-torch.inf)


def known_ids(given: ConditionInput, sample: int) -> dict[int, int]:
    """What is known of a grid in one sample: ids by place."""
    ids = given.tokens.values[sample].tolist()
    return {place: token for place, token in enumerate(ids) if given.known is None or bool(given.known[sample, place])}
