"""The WordPiece tokenizer that all sequence modalities share, over Hugging Face's `tokenizers`."""

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from modalities.errors import ConfigError, DataError
from modalities.vocabulary import (
    CONTROL_TOKENS,
    COORDINATE_TOKENS,
    EOS_ID,
    PAD_ID,
    PUBLISHED_TOKENS,
    SOS_ID,
    UNK,
    UNK_ID,
    special_tokens,
)

CONTINUATION_PREFIX = "##"
"""Prefix of word pieces that continue a word."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_CASE_SENSITIVE = frozenset(CONTROL_TOKENS + COORDINATE_TOKENS)


class TextTokenizer:
    """Conversion between text and ids. Special tokens have the published ids; word pieces are learned from texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Wrap a tokenizer whose special tokens have the published ids.

        Raises:
            DataError: A special token is missing or has another id.
        """
        for index, token in enumerate(PUBLISHED_TOKENS):
            found = tokenizer.token_to_id(token)
            if found != index:
                raise DataError(f"This text tokenizer gives {token!r} the id {found}, expected {index} as published.")
        self._tokenizer = tokenizer
        self._tokens = [tokenizer.id_to_token(index) or UNK for index in range(tokenizer.get_vocab_size())]

    @classmethod
    def train(cls, texts: Iterable[str], class_names: Sequence[str] = (), vocab_size: int = 30_000) -> "TextTokenizer":
        """Learn word pieces from ``texts``.

        Args:
            texts: Captions and all other texts made of words. They are iterated twice, so this is no iterator.
            class_names: Classes of the data set, which get one token each, in addition to COCO's.
            vocab_size: Maximum number of tokens, special ones included; few texts give fewer.

        Raises:
            ConfigError: ``vocab_size`` has no room for the special tokens and the letters.
        """
        tokens, letters = special_tokens(class_names), _inner_letters(texts)
        min_size = len(tokens) + 2 * len(letters)
        if vocab_size < min_size:
            raise ConfigError(f"The text vocabulary must have at least {min_size} tokens, got {vocab_size}.")
        trained = _untrained({})
        # The library numbers the letters inside words in the order of a hash map, which differs from run to run, and
        # breaks ties by those numbers. As special tokens they get fixed numbers, and none is missing.
        trainer = WordPieceTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=[*tokens, *(CONTINUATION_PREFIX + letter for letter in letters)],
            initial_alphabet=list(_LETTERS),
            continuing_subword_prefix=CONTINUATION_PREFIX,
            show_progress=False,
        )
        trained.train_from_iterator(texts, trainer)
        tokenizer = _untrained(trained.get_vocab())
        tokenizer.add_special_tokens([_special_token(token) for token in tokens])
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self._tokens)

    @property
    def eos_id(self) -> int:
        """Id of the end token."""
        return EOS_ID

    def token(self, index: int) -> str:
        """The token with the id ``index``; ``[UNK]`` for an id outside the vocabulary."""
        return self._tokens[index] if 0 <= index < len(self._tokens) else UNK

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, without an end token."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the vocabulary cannot spell, each of which becomes ``[UNK]``."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        found = zip(encoding.ids, encoding.offsets, strict=True)
        return [text[start:end] for index, (start, end) in found if index == UNK_ID and text[start:end] != UNK]

    def unknown_share(self, texts: Sequence[str]) -> float:
        """Share of ``[UNK]`` among the tokens of all ``texts``; 0 where there are none."""
        ids = [index for row in self.encode_batch(texts) for index in row]
        return ids.count(UNK_ID) / len(ids) if ids else 0.0

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each of ``texts``, faster than one at a time."""
        return [item.ids for item in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids`` up to the first end token: words and special tokens joined by spaces, without padding."""
        words: list[str] = []
        for index in map(int, ids):
            if index == EOS_ID:
                break
            token = self.token(index)
            if index in (PAD_ID, SOS_ID):
                continue
            if token.startswith(CONTINUATION_PREFIX) and words:
                words[-1] += token.removeprefix(CONTINUATION_PREFIX)
            else:
                words.append(token)
        return " ".join(words)

    def to_json(self) -> str:
        """The whole tokenizer in the format of Hugging Face's ``tokenizer.json``."""
        text: str = self._tokenizer.to_str()
        return text

    @classmethod
    def from_json(cls, text: str) -> "TextTokenizer":
        """The tokenizer that `to_json` wrote, or a published one.

        Raises:
            DataError: ``text`` is no tokenizer, or one with other special tokens.
        """
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # The library raises bare Exception for every kind of bad input.
            raise DataError(f"This is not a text tokenizer in Hugging Face's JSON format: {error}") from error
        return cls(tokenizer)


def _untrained(vocabulary: dict[str, int]) -> Tokenizer:
    """A tokenizer of the published kind over ``vocabulary``, without special tokens."""
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=UNK) if vocabulary else WordPiece(unk_token=UNK))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def _inner_letters(texts: Iterable[str]) -> list[str]:
    """Plain letters and digits, then every other character that occurs in ``texts`` inside a word, sorted."""
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    found = {
        letter
        for text in texts
        if not text.isascii()
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
        for letter in word[1:]
    }
    return [*_LETTERS, *sorted(found.difference(_LETTERS))]


def _special_token(token: str) -> AddedToken:
    """A special token. Control and coordinate tokens match exactly, class names as whole words in any case."""
    is_word = token not in _CASE_SENSITIVE
    return AddedToken(token, single_word=is_word, normalized=is_word, special=True)
