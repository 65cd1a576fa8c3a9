"""Values of modalities in scenes, for tests of modalities."""

from modalities.scenes.scene import Scene
from modalities.scenes.views import BUILTIN_VIEWS
from modalities.spec import Modality, Value


def view_of(modality: Modality, scene: Scene) -> Value:
    """The value of a built-in modality in a scene."""
    return BUILTIN_VIEWS[modality.name](scene, modality)
