"""Classes of the held-out samples, and the prompts that stand for them."""

from evaluation.tasks.binding import ZeroShotClasses, largest_classes
from experiments.data_source import open_data_source
from experiments.stages.context import StageContext
from experiments.stages.inputs import load_text_tokenizer, open_eval_split

PROMPT = "a {}"
"""Text that stands for a class."""


def zero_shot_classes(context: StageContext) -> ZeroShotClasses | None:
    """The largest thing in each held-out class map, and a prompt for each; None without a bound class map.

    Things are the classes that the source's texts and boxes name.
    """
    source = open_data_source(context.config.data, context.modalities)
    for name in context.config.binding_modalities:
        names = getattr(context.modalities[name], "classes", ())
        things = [item for item in names if item in source.class_names]
        if not things:
            continue
        text = load_text_tokenizer(context)
        prompts = {item: [*text.encode(PROMPT.format(item)), text.eos_id] for item in things}
        maps = open_eval_split(context, "validation", [name]).values[name]
        return ZeroShotClasses(labels=largest_classes(maps[:], names, things), prompts=prompts)
    return None
