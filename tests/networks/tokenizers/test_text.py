"""The WordPiece tokenizer: published ids, words of any spelling, files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalities.errors import ConfigError, DataError
from modalities.vocabulary import PAD_ID, PUBLISHED_TOKENS, special_tokens
from networks.tokenizers.text import TextTokenizer

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "serialisation.json"
TEXTS = [
    "a red ball is left of a small car.",
    "two people stand near a traffic light",
    "a carthorse, carefully drawn",
    "\u00fcber \u0441\u043b\u043e\u043d \u03bb\u03bf\u03b3",
]


CLASS_NAMES = ("ball", "box", "lamp")
SPECIAL_TOKENS = special_tokens(CLASS_NAMES)


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(TEXTS * 4, CLASS_NAMES)


def test_every_special_token_is_one_token_with_its_own_id(tokenizer: TextTokenizer) -> None:
    for index, token in enumerate(SPECIAL_TOKENS):
        assert tokenizer.token(index) == token
    assert tokenizer.encode_batch(SPECIAL_TOKENS) == [[index] for index in range(len(SPECIAL_TOKENS))]


def test_class_names_of_several_words_match_in_any_case(tokenizer: TextTokenizer) -> None:
    assert tokenizer.encode("Traffic Light") == [SPECIAL_TOKENS.index("traffic light")]
    assert tokenizer.encode("a CAR")[-1] == SPECIAL_TOKENS.index("car")


def test_class_names_do_not_match_inside_words(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("a carthorse, carefully")
    assert SPECIAL_TOKENS.index("car") not in ids
    assert tokenizer.decode(ids) == "a carthorse , carefully"


def test_long_numbers_are_not_taken_for_short_ones(tokenizer: TextTokenizer) -> None:
    assert tokenizer.encode("v0=12 v0=123 v0=1") == [216, 327, 205]


@given(text=st.text("abcdefghijklmnopqrstuvwxyz0123456789 ", max_size=60))
def test_any_plain_word_can_be_spelled(tokenizer: TextTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)).split() == text.split()


def test_texts_encode_alike_one_by_one_and_together(tokenizer: TextTokenizer) -> None:
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]


def test_decoding_stops_at_the_end_token_and_leaves_out_padding(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("a red ball")
    assert tokenizer.decode([PAD_ID, *ids, tokenizer.eos_id, *ids]) == "a red ball"


def test_an_id_outside_the_vocabulary_is_unknown(tokenizer: TextTokenizer) -> None:
    assert tokenizer.decode([tokenizer.vocab_size + 5, -1]) == "[UNK] [UNK]"
    assert tokenizer.decode(tokenizer.encode("\u2603")) == "[UNK]"


def test_json_brings_the_same_tokenizer_back(tokenizer: TextTokenizer) -> None:
    again = TextTokenizer.from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert again.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_training_gives_the_same_vocabulary_in_another_process(tokenizer: TextTokenizer) -> None:
    train = f"TextTokenizer.train({TEXTS * 4!r}, {CLASS_NAMES!r})"
    code = f"from networks.tokenizers.text import TextTokenizer; print({train}.to_json())"
    for _ in range(2):  # The library's hash maps are seeded anew in each.
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == tokenizer.to_json()


def test_a_vocabulary_too_small_for_the_special_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must have at least \d+ tokens, got 4000"):
        TextTokenizer.train(TEXTS, vocab_size=4000)


def test_the_vocabulary_keeps_within_its_size() -> None:
    small = TextTokenizer.train(TEXTS * 4, CLASS_NAMES, vocab_size=len(SPECIAL_TOKENS) + 110)
    assert small.vocab_size <= len(SPECIAL_TOKENS) + 110
    assert small.decode(small.encode("a red ball")) == "a red ball"


def test_text_that_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(DataError, match="not a text tokenizer"):
        TextTokenizer.from_json("{}")


def test_a_tokenizer_with_other_special_tokens_is_refused(tokenizer: TextTokenizer) -> None:
    data = json.loads(tokenizer.to_json())
    data["added_tokens"] = [item for item in data["added_tokens"] if item["content"] != "v0=7"]
    del data["model"]["vocab"]["v0=7"]
    with pytest.raises(DataError, match="'v0=7' the id None, expected 211"):
        TextTokenizer.from_json(json.dumps(data))


def test_own_class_names_get_one_token_each() -> None:
    tokenizer = TextTokenizer.train(TEXTS, class_names=["Snow Leopard"])
    assert tokenizer.encode("a snow leopard")[-1] == len(PUBLISHED_TOKENS)
    assert TextTokenizer.train(TEXTS).encode("a snow leopard")[-1] != len(PUBLISHED_TOKENS)


@pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference is not here")
@pytest.mark.parametrize("kind", ["boxes", "metadata", "color_palette"])
def test_ids_are_those_of_the_published_tokenizer(tokenizer: TextTokenizer, kind: str) -> None:
    for case in json.loads(REFERENCE.read_text())[kind]:
        if "chunks" in case:
            assert tokenizer.encode_batch(case["chunks"]) == case["ids"]
        else:
            assert tokenizer.encode(case["text"]) == case["ids"]


def test_unknown_words_are_named_and_counted() -> None:
    tokenizer = TextTokenizer.train(["a red ball", "a red box"])
    assert tokenizer.unknown_words("a red ball v0=3 [UNK] [S_1]") == []
    assert tokenizer.unknown_words("A red 球, ball Жук") == ["球", ",", "Жук"]
    texts = ["a red 球", "", "a 球"]
    tokens = [tokenizer.token(index) for text in texts for index in tokenizer.encode(text)]
    assert tokenizer.unknown_share(texts) == tokens.count("[UNK]") / len(tokens) == 2 / 5
    assert tokenizer.unknown_share([]) == tokenizer.unknown_share([""]) == 0
