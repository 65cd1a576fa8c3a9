"""Configuration of binding: which modalities, the size of their towers, and the temperature."""

from dataclasses import dataclass, field, fields

from modalities.errors import ConfigError
from networks.layers.blocks import BlockConfig


@dataclass(frozen=True, kw_only=True)
class BindingConfig:
    """Modalities bound to the image by contrastive pairs, as in ImageBind (Girdhar et al. 2023, arXiv:2305.05665)."""

    enabled: bool = False
    """True to train a binding model for each seed, beside the 4M models."""
    image: str | None = field(default=None, metadata={"names": "modality"})
    """The modality that all others are paired with; null for the image that photographs are read as."""
    modalities: list[str] = field(default_factory=list, metadata={"names": "modality"})
    """Modalities that are paired with the image; none stands for depth, normals, classes and captions, as far as arms
    have them."""
    image_encoder: str | None = None
    """Folder of a 4M model whose encoder, frozen, is the image's tower, with a trained projection; null trains one."""
    dim: int = 64
    """Length of an embedding."""
    width: int = 64
    """Width of a tower's blocks."""
    num_blocks: int = 2
    """Blocks of a tower."""
    heads: int = 2
    """Attention heads of a block."""
    temperature: float = 0.07
    """Temperature of the softmax over pairs, at the start where it is learned."""
    learn_temperature: bool = True
    """True to learn a temperature for each modality."""
    batch_size: int = 64
    """Samples per process and step; each is contrasted with all others of the step, on all processes."""

    def __post_init__(self) -> None:
        for name in ("dim", "width", "num_blocks", "heads", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"binding.{name} must be at least 1, got {getattr(self, name)}.")
        if self.width % self.heads or self.width % 4:
            raise ConfigError(
                f"binding.width must be a multiple of binding.heads and of 4, got {self.width} and {self.heads}."
            )
        if self.batch_size < 2:
            raise ConfigError("binding.batch_size must be at least 2: a pair is contrasted with others of its batch.")
        if not self.temperature > 0:
            raise ConfigError(f"binding.temperature must be positive, got {self.temperature}.")
        if self.image is not None and self.image in self.modalities:
            raise ConfigError(f"binding.modalities has {self.image}, which is binding.image: leave it out.")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        if self.enabled:
            return {}
        names = [item.name for item in fields(self) if item.name != "enabled"]
        return dict.fromkeys(names, "binding.enabled=false trains no binding")

    @property
    def block(self) -> BlockConfig:
        """The config of one block."""
        return BlockConfig(width=self.width, heads=self.heads)
