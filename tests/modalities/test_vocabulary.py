"""The shared text vocabulary: published ids, spelling of numbers and codes."""

from modalities.vocabulary import (
    COCO_CLASSES,
    EOS,
    GRAMMAR_KEYWORDS,
    PUBLISHED_TOKENS,
    code_tokens,
    coordinate_token,
    coordinate_tokens,
    sentinel_token,
    sentinel_token_id,
    special_tokens,
    strip_control_tokens,
)


def test_published_tokens_have_the_published_ids() -> None:
    ids = {token: index for index, token in enumerate(PUBLISHED_TOKENS)}
    assert len(ids) == 4284
    assert [ids[token] for token in ("[PAD]", "[UNK]", "[SOS]", "[EOS]")] == [0, 1, 2, 3]
    assert [ids[sentinel_token(0)], ids[sentinel_token(1)], ids[sentinel_token(199)]] == [4, 5, 203]
    assert [ids["v0=0"], ids["v0=999"], ids["v1=0"], ids["v2=0"], ids["v3=999"]] == [204, 1203, 1204, 2204, 4203]
    assert [ids["airplane"], ids["car"], ids["dog"], ids["tennis racket"], ids["zebra"]] == [
        4204,
        4222,
        4232,
        4271,
        4283,
    ]


def test_coco_classes_are_eighty_in_alphabetical_order() -> None:
    assert len(COCO_CLASSES) == 80
    assert list(COCO_CLASSES) == sorted(COCO_CLASSES)


def test_helpers_of_ids_agree_with_the_order_of_tokens() -> None:
    for index in (0, 1, 57, 199):
        assert PUBLISHED_TOKENS[sentinel_token_id(index)] == sentinel_token(index)
    for axis, value, index in ((0, 0, 204), (1, 999, 2203), (2, 345, 2549), (3, 1, 3205)):
        assert PUBLISHED_TOKENS[index] == coordinate_token(axis, value)


def test_further_classes_follow_and_no_token_is_there_twice() -> None:
    assert special_tokens([]) == PUBLISHED_TOKENS + GRAMMAR_KEYWORDS
    assert len(set(special_tokens([]))) == len(special_tokens([]))
    assert special_tokens(["Car", "unicorn", "unicorn", "none"]) == (*PUBLISHED_TOKENS, "unicorn", *GRAMMAR_KEYWORDS)


def test_codes_from_512_on_go_to_the_second_axis() -> None:
    assert code_tokens([0, 511, 512, 1023]) == "v0=0 v0=511 v1=0 v1=511"
    assert coordinate_tokens((12, 5, 0, 999)) == "v0=12 v1=5 v2=0 v3=999"


def test_control_tokens_are_taken_out_of_texts() -> None:
    assert strip_control_tokens(f"a{EOS}b [S_12] c").split() == ["a", "b", "c"]
    assert strip_control_tokens("[note] stays") == "[note] stays"
