"""Captions: a sentence of true statements about what is visible, from a small grammar of lower-case words."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modalities.scenes.layout import SceneGeometry
from modalities.scenes.room import Room

MIN_WORDS, MAX_WORDS = 8, 25
_MIN_MENTIONED_FRACTION = 0.004
"""Share of the image from which a thing is worth a word."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
_PLURALS = {"box": "boxes", "person": "people"}


@dataclass(frozen=True, kw_only=True)
class Mention:
    """Something visible that a caption may speak of."""

    instance: int
    class_name: str
    phrase: str
    """With its article."""
    action: str
    """Action of a person; empty for an object."""
    middle: float
    """Middle of its visible box, 0 at the left and 1 at the right."""
    distance: float
    """Along the world's -z, meters."""
    support: int


def visible_mentions(
    rng: random.Random, geometry: SceneGeometry, visible: Mapping[int, tuple[int, tuple[float, ...]]], size: int
) -> list[Mention]:
    """List what is large enough in the image, with a random choice of words for each."""
    found = []
    for thing in geometry.things:
        words = [thing.size_name] if rng.random() < 0.6 else []
        phrase = with_article(" ".join([*words, thing.color, thing.class_name]))
        found.append((thing.instance, thing.class_name, phrase, "", -thing.center[2], thing.support))
    for figure in geometry.figures:
        phrase = rng.choice((f"a person in {with_article(figure.color)} shirt", "a person"))
        distance = -float(figure.pelvis[2])
        found.append((figure.instance, "person", phrase, figure.action, distance, figure.support))
    mentioned = []
    for instance, class_name, phrase, action, distance, support in found:
        num_pixels, box = visible.get(instance, (0, (0.0, 0.0, 0.0, 0.0)))
        if num_pixels >= _MIN_MENTIONED_FRACTION * size * size:
            mentioned.append(
                Mention(
                    instance=instance,
                    class_name=class_name,
                    phrase=phrase,
                    action=action,
                    middle=0.5 * (box[0] + box[2]),
                    distance=distance,
                    support=support,
                )
            )
    return mentioned


def with_article(words: str) -> str:
    """Put "a" or "an" before words."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def make_caption(
    rng: random.Random,
    geometry: SceneGeometry,
    visible: Mapping[int, tuple[int, tuple[float, ...]]],
    stuff: frozenset[str],
    size: int,
) -> str:
    """A caption of 8 to 25 words.

    ``visible`` has pixel count and box of each visible instance, ``stuff`` the names of the classes that are visible.
    """
    mentioned = visible_mentions(rng, geometry, visible, size)
    names = {t.instance: t.class_name for t in geometry.things} | {f.instance: "person" for f in geometry.figures}
    counts = Counter(names[i] for i in visible)
    for _ in range(8):
        text = f"{_statement(rng, mentioned, counts)} {describe_place(rng, geometry.room, stuff)}".strip()
        if rng.random() < 0.2 and mentioned:
            text += f". {_count_statement(rng, mentioned, counts)}"
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            return text
    return f"a picture of {_ground_phrase(geometry.room)} with some things that stand on it"


def _statement(rng: random.Random, mentioned: Sequence[Mention], counts: Mapping[str, int]) -> str:
    """Say something about one to three of the things; the place comes after it."""
    if not mentioned:
        return rng.choice(("a picture of an empty place", "there is nothing to see here"))
    order = rng.sample(mentioned, len(mentioned))
    people = [m for m in order if m.action]
    choice = rng.random()
    if people and choice < 0.6:
        return _person_statement(rng, people[0], order)
    if len(order) == 1:
        return rng.choice(("there is {}", "a picture of {}", "{} stands alone")).format(order[0].phrase)
    if choice < 0.75:
        pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
        for a, b in pairs:
            relation = _relation(rng, a, b)
            if relation:
                return f"{a.phrase} is {relation} {b.phrase}"
    if choice < 0.88:
        chosen = order[:3]
        phrases = ", ".join(m.phrase for m in chosen[:-1]) + f" and {chosen[-1].phrase}"
        return rng.choice(("there is {}", "a picture of {}", "{}", "the picture shows {}")).format(phrases)
    return _count_statement(rng, mentioned, counts)


def _person_statement(rng: random.Random, person: Mention, order: Sequence[Mention]) -> str:
    """Say what a person does, and where relative to something else."""
    text = f"{person.phrase} is {person.action}"
    others = [m for m in order if m is not person]
    seat = [m for m in others if m.instance == person.support]
    if seat:
        return f"{text} on {seat[0].phrase}"
    for other in others:
        relation = _relation(rng, person, other)
        if relation and rng.random() < 0.7:
            return f"{text} {relation} {other.phrase}"
    return text


def _relation(rng: random.Random, a: Mention, b: Mention) -> str:
    """A relation that holds from a to b, or nothing."""
    if a.support == b.instance:
        return "on"
    if b.support == a.instance:
        return "under"
    held = []
    if abs(a.middle - b.middle) > 0.12:
        held.append("to the left of" if a.middle < b.middle else "to the right of")
    if abs(a.distance - b.distance) > 0.7 and abs(a.middle - b.middle) < 0.3:
        held.append("in front of" if a.distance < b.distance else "behind")
    return rng.choice(held) if held else ""


def _count_statement(rng: random.Random, mentioned: Sequence[Mention], counts: Mapping[str, int]) -> str:
    """Say how many there are of one or two classes; the counts are of all that is visible."""
    names = sorted({m.class_name for m in mentioned})
    chosen = rng.sample(names, min(len(names), rng.choice((1, 2))))
    parts = []
    for name in chosen:
        plural = _PLURALS.get(name, name + "s")
        parts.append(f"{_NUMBERS[counts[name]]} {name if counts[name] == 1 else plural}")
    verb = "is" if counts[chosen[0]] == 1 else "are"
    return f"there {verb} {' and '.join(parts)}"


def _ground_phrase(room: Room) -> str:
    return "the grass" if room.ground == "grass" else f"{with_article(room.floor_color)} floor"


def describe_place(rng: random.Random, room: Room, stuff: frozenset[str]) -> str:
    """Say where it is, of the stuff that is visible; may be empty."""
    options = []
    if room.ground in stuff:
        options.append(f"on {_ground_phrase(room)}")
    if "wall" in stuff:
        wall, walls = f"{with_article(room.wall_color)} wall", f"{room.wall_color} walls"
        match room.kind:
            case "corner":
                options += [f"in the corner of a room with {walls}", f"in a room with {walls}"]
            case "hall":
                options += [f"in a narrow hall with {walls}", f"in a hall with {walls}"]
            case "yard":
                options += [f"outside before {wall}", f"in a yard with {wall}"]
            case _:
                options += [f"in a room with {wall}", f"before {wall}"]
        if room.ground in stuff:
            options.append(f"on {_ground_phrase(room)} before {wall}")
    if "sky" in stuff:
        options.append("outside under the sky")
    if "sky" in stuff and room.ground in stuff:
        options.append(f"on {_ground_phrase(room)} under a blue sky")
    if room.rug is not None and "rug" in stuff:
        options.append(f"in a room with {with_article(room.rug.color)} rug")
    return rng.choice(options) if options else ""
