"""Every caption is true of its scene, short, and of a small vocabulary."""

import re
from collections import Counter

import pytest

from modalities.labels import CLASSES, THINGS
from modalities.scenes.scene import Scene, make_scene
from modalities.scenes.world import COLORS

NUM = 500
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
SINGULAR = {"boxes": "box", "people": "person"} | {f"{name}s": name for name in THINGS}
PHRASE = re.compile(rf"(?:(small|large) )?({'|'.join(COLORS)}) ({'|'.join(sorted(THINGS))})\b")
DOING = re.compile(r"a person (?:in an? ([a-z]+) shirt )?is ([a-z]+ing(?: (?:the (?:left|right)|both) arms?)?)")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Scenes to read."""
    return [make_scene(seed) for seed in range(NUM)]


def words(text: str) -> list[str]:
    """Split into words without punctuation."""
    return re.findall(r"[a-z]+", text)


def test_captions_are_short_lower_case_and_of_few_words(scenes: list[Scene]) -> None:
    vocabulary: set[str] = set()
    for scene in scenes:
        assert scene.caption == scene.caption.lower()
        assert 8 <= len(scene.caption.split()) <= 25, scene.caption
        assert len(scene.web_text.split()) < 60
        assert 2 <= len(re.findall(r"\.", scene.web_text)) <= 5
        vocabulary |= set(words(scene.caption)) | set(words(scene.web_text))
    assert len(vocabulary) < 300


def test_captions_differ(scenes: list[Scene]) -> None:
    assert len({scene.caption for scene in scenes}) > 0.9 * NUM
    assert len({scene.web_text for scene in scenes}) > 0.95 * NUM


def test_every_object_that_is_named_is_visible(scenes: list[Scene]) -> None:
    named = 0
    for scene in scenes:
        for size, color, name in PHRASE.findall(scene.caption):
            named += 1
            assert any(
                o.color == color and o.class_name == name and size in ("", o.size_name) for o in scene.objects
            ), scene.caption
    assert named > NUM / 2


def test_every_count_is_right(scenes: list[Scene]) -> None:
    checked = 0
    for scene in scenes:
        counts = Counter([o.class_name for o in scene.objects] + ["person"] * len(scene.people))
        for number, noun in re.findall(rf"\b({'|'.join(NUMBERS)}) ([a-z]+)", scene.caption):
            checked += 1
            assert counts[SINGULAR.get(noun, noun)] == NUMBERS[number], scene.caption
    assert checked > 50


def test_people_do_what_is_said_of_them(scenes: list[Scene]) -> None:
    checked = 0
    for scene in scenes:
        found = re.search(
            r"a person (?:in an? ([a-z]+) shirt )?is ([a-z]+ing(?: (?:the (?:left|right)|both) arms?)?)", scene.caption
        )
        if found:
            checked += 1
            color, action = found.groups()
            assert any(p.action.startswith(action) and color in (None, p.color) for p in scene.people), scene.caption
        if "person" in scene.caption:
            assert scene.people
    assert checked > 50


def test_left_and_right_are_those_of_the_picture(scenes: list[Scene]) -> None:
    checked = 0
    pattern = re.compile(rf"^an? {PHRASE.pattern} is to the (left|right) of an? {PHRASE.pattern}")
    for scene in scenes:
        found = pattern.search(scene.caption)
        if found is None:
            continue
        checked += 1
        size_a, color_a, name_a, side, size_b, color_b, name_b = found.groups()
        middles = [
            [
                (o.box[0] + o.box[2]) / 2
                for o in scene.objects
                if (o.color, o.class_name) == (color, name) and size in (None, o.size_name)
            ]
            for size, color, name in ((size_a, color_a, name_a), (size_b, color_b, name_b))
        ]
        gap = (min(middles[0]) - max(middles[1])) if side == "left" else (min(middles[1]) - max(middles[0]))
        assert gap < 0, scene.caption
    assert checked > 20


def test_stuff_that_is_named_is_visible(scenes: list[Scene]) -> None:
    for scene in scenes:
        seen = {CLASSES[i] for i in set(scene.classes.ravel().tolist())}
        for name in ("sky", "grass", "rug", "floor"):
            if name in words(scene.caption):
                assert name in seen, scene.caption
        if {"wall", "walls"} & set(words(scene.caption)):
            assert "wall" in seen, scene.caption
