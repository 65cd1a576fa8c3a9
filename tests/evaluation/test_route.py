import pytest

from evaluation.route import MaskedTokens, Route, TokenizerRoundTrip, parse_route


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (Route(source="rgb", target="depth"), "rgb->depth"),
        (Route(source="rgb", via=("normals", "semseg"), target="depth"), "rgb->normals->semseg->depth"),
        (MaskedTokens(target="depth"), "masked"),
        (TokenizerRoundTrip(target="depth"), "tokenizer"),
    ],
)
def test_a_route_comes_back_from_its_text(route: Route, text: str) -> None:
    assert str(route) == text
    assert parse_route(text, "depth") == route


@pytest.mark.parametrize("text", ["", "rgb", "->depth", "rgb->", "rgb->->depth"])
def test_another_text_is_no_route(text: str) -> None:
    with pytest.raises(ValueError, match="is not a route such as 'rgb->depth'"):
        Route.parse(text)


def test_a_route_to_another_target_is_refused() -> None:
    with pytest.raises(ValueError, match="'rgb->depth' does not lead to 'semseg'"):
        parse_route("rgb->depth", "semseg")


def test_a_chain_knows_its_direct_route() -> None:
    chain = Route(source="rgb", via=("normals",), target="depth")
    assert chain.names == ("rgb", "normals", "depth")
    assert chain.direct == Route(source="rgb", target="depth")
