from evaluation.generation.settings import Settings, plan_of, spoken
from networks.generation.defaults import default_plan
from networks.streams import Stream, StreamKind

STREAMS = [
    *(
        Stream(name=name, kind=StreamKind.grid, num_tokens=64, vocabulary=name, vocab=9, grid=8)
        for name in ("rgb", "depth", "semseg")
    ),
    Stream(name="caption", kind=StreamKind.sequence, num_tokens=12, vocabulary="text", vocab=30),
]


def test_a_plan_is_told_with_equal_settings_together() -> None:
    plan = default_plan(STREAMS, from_image=False)
    assert spoken(plan, STREAMS, ["depth", "semseg", "rgb", "caption"]) == (
        "depth, semseg: roar, 8 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8, guidance 2; "
        "rgb: roar, 25 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8, guidance 2; "
        "caption: temperature 0.3, top-p 0.8"
    )


def test_what_was_changed_is_told_too() -> None:
    options = {"scheme": "maskgit", "steps": "1", "top_k": "5", "top_p": "1", "temperature": "0"}
    typed = Settings(options=options, conditions="caption+depth=2,depth=-0.5")
    plan = plan_of(typed, STREAMS, ["rgb"], from_image=True, rename=str)
    assert spoken(plan, STREAMS, ["rgb"]) == (
        "rgb: maskgit, 1 step, temperature 0, top-k 5, weights caption+depth +2 and depth -0.5"
    )
