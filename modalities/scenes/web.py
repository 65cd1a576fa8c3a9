"""Web text: a short paragraph as on a page about such a scene, some of it about this scene, some about this world."""

import random
from collections.abc import Mapping

from modalities.scenes.caption import make_caption
from modalities.scenes.layout import SceneGeometry

MAX_WORDS = 59

_OPENINGS = (
    "welcome to our page.",
    "here is a new picture for you.",
    "today we look at a simple scene.",
    "thank you for your visit.",
    "we took this picture last week.",
)
_FACTS: dict[str, tuple[str, ...]] = {
    "ball": ("a ball is round and rolls when you push it.", "every ball in our shop is round."),
    "box": ("a box has six flat sides.", "you can put a small ball on a large box."),
    "can": ("a can is round from above and flat at both ends.", "most of our cans have stripes."),
    "log": ("a log lies on the ground and has round ends.", "most logs are brown."),
    "lamp": ("a lamp stands on one thin leg.", "a lamp has a round head and a black foot."),
    "table": ("a table has four legs and a flat top.", "you can put small things on a table."),
    "person": ("a person has two arms and two legs.", "people can sit on a box or walk around."),
    "wall": ("a wall stands up from the floor.", "our walls are beige, white, gray, blue or green."),
    "floor": ("floors can have a checker or planks.", "things stand on the floor and do not float."),
    "grass": ("grass grows outside and is green.", "outside there is grass and one sun."),
    "rug": ("a rug lies flat on the floor.", "you can walk on a rug."),
    "sky": ("the sky is blue and far away.", "far things look pale under the sky."),
    "ceiling": ("the ceiling is above the floor.", "every room has a white ceiling."),
}
_GENERAL = (
    "near things look larger than far things.",
    "a light makes a shadow behind each thing.",
    "nothing in our world floats in the air.",
)
_CLOSINGS = ("order yours today.", "read more on the next page.", "tell us what you think.", "come back soon.")


def make_web_text(
    rng: random.Random,
    geometry: SceneGeometry,
    visible: Mapping[int, tuple[int, tuple[float, ...]]],
    stuff: frozenset[str],
    size: int,
) -> str:
    """Two to four sentences, fewer than 60 words; the arguments are those of `make_caption`."""
    names = {t.instance: t.class_name for t in geometry.things} | {f.instance: "person" for f in geometry.figures}
    topics = sorted({names[i] for i in visible} | stuff)
    facts = [rng.choice(_FACTS[topic]) for topic in rng.sample(topics, min(2, len(topics)))]
    if len(facts) < 2 or rng.random() < 0.2:
        facts[1:] = [rng.choice(_GENERAL)]
    sentences = [f"{make_caption(rng, geometry, visible, stuff, size)}.", facts[0]]
    if rng.random() < 0.5:
        sentences.insert(0, rng.choice(_OPENINGS))
    if rng.random() < 0.5:
        sentences.append(rng.choice((facts[1], rng.choice(_CLOSINGS))))
    while len(" ".join(sentences).split()) > MAX_WORDS:
        sentences.pop()
    return " ".join(sentences)
