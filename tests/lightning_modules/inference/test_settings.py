from lightning_modules.inference.settings import GenerationOptions, build_generation_plan, describe_plan
from networks.generation.defaults import default_generation_config
from networks.streams import GridStream, SequenceStream, Stream

STREAMS: list[Stream] = [
    *(
        GridStream(name=name, num_tokens=64, vocabulary=name, vocab_size=9, grid=8)
        for name in ("rgb", "depth", "semseg")
    ),
    SequenceStream(name="caption", num_tokens=12, vocabulary="text", vocab_size=30),
]


def test_a_plan_is_told_with_equal_settings_together() -> None:
    plan = default_generation_config(STREAMS, from_image=False)
    assert describe_plan(plan, STREAMS, ["depth", "semseg", "rgb", "caption"]) == (
        "depth, semseg: roar, 8 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8, guidance 2; "
        "rgb: roar, 25 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8, guidance 2; "
        "caption: temperature 0.3, top-p 0.8"
    )


def test_what_was_changed_is_told_too() -> None:
    options = {"scheme": "maskgit", "steps": "1", "top_k": "5", "top_p": "1", "temperature": "0"}
    typed = GenerationOptions(options=options, conditions="caption+depth=2,depth=-0.5")
    plan = build_generation_plan(typed, STREAMS, ["rgb"], from_image=True, resolve_stream=str)
    assert describe_plan(plan, STREAMS, ["rgb"]) == (
        "rgb: maskgit, 1 step, temperature 0, top-k 5, weights caption+depth +2 and depth -0.5"
    )
