"""The base of the training modules: hyperparameters, optimizer, schedule, averaging, and the check of checkpoints."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, ClassVar, TypeVar, cast

import torch
from lightning import Callback, LightningModule
from torch import nn
from torch.optim import Optimizer

from lightning_modules.callbacks.ema import EMAWeights
from lightning_modules.optim import OptimConfig
from lightning_modules.optimizers import build_optimizer, count_maps, set_learning_rates
from modalities.errors import CheckpointError
from modalities.storage.serialization import find_differences, from_plain, to_plain

T = TypeVar("T")

HYPERPARAMETERS_KEY = "hyper_parameters"
"""Lightning's key of the hyperparameters in a checkpoint."""
KIND_KEY = "kind"
"""Key of `BaseModule.kind` in a checkpoint."""


class BaseModule(LightningModule):
    """Trains one network with one `OptimConfig`.

    Hyperparameters are saved as plain JSON values, so that ``load_from_checkpoint(path)`` needs the path alone; a
    subclass's ``__init__`` takes its records either as such or as these values.
    """

    kind: ClassVar[str]
    """Kind of the network, with its article, for error messages."""
    optim: OptimConfig

    def __init__(self, **hyperparameters: Any) -> None:
        """Take the arguments of the subclass's ``__init__``."""
        super().__init__()
        self.save_hyperparameters(to_plain(hyperparameters), logger=False)

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        raise NotImplementedError

    @property
    def schedule_position(self) -> float:
        """Position of the current step in the learning-rate schedule, in the unit of `OptimConfig.total`."""
        raise NotImplementedError

    @property
    def should_log(self) -> bool:
        """True in the steps whose metrics Lightning writes: the last of every ``log_every_n_steps``.

        A metric that is logged in another step would be written under that later step.
        """
        return bool((self.global_step + 1) % cast(Any, self.trainer).log_every_n_steps == 0)

    def named_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The network's weights under the names that the patterns of ``optim.groups`` are searched in."""
        return self.network.named_parameters()

    def configure_callbacks(self) -> list[Callback]:
        """Average the weights if the config says so."""
        return [EMAWeights(self.optim.ema_decay)] if self.optim.ema_decay else []

    def configure_optimizers(self) -> Optimizer:
        """The optimizer; learning rates are set before every step."""
        return build_optimizer(self.named_weights(), self.optim, count_maps(self.network))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Set the learning rates of this step, and clip the gradient."""
        factor = self.optim.lr_factor(self.schedule_position)
        set_learning_rates(optimizer, factor)
        metrics: dict[str, Any] = {"train/lr": self.optim.lr * factor}
        if self.optim.clip:
            weights = self.clipped_weights(optimizer)
            metrics["train/grad_norm"] = torch.nn.utils.clip_grad_norm_(weights, self.optim.clip)
        if self.should_log:
            self.log_dict(metrics)

    def clipped_weights(self, optimizer: Optimizer) -> list[nn.Parameter]:
        """The weights whose gradient is clipped; their order decides the last digits of its norm."""
        return [weight for group in optimizer.param_groups for weight in group["params"]]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the kind of the network to what Lightning saves."""
        checkpoint[KIND_KEY] = self.kind

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a checkpoint is of such a network. The optimizer's settings may differ.

        Raises:
            CheckpointError: It is of another network; the message names the differences.
        """
        if checkpoint.get(KIND_KEY) != self.kind:
            raise CheckpointError(
                f"The checkpoint is of {checkpoint.get(KIND_KEY, 'something else')}, expected {self.kind}."
            )
        saved = checkpoint[HYPERPARAMETERS_KEY]
        expected = {name: value for name, value in self.hparams.items() if name != "optim"}
        differences = self.describe_differences(expected, {name: saved.get(name) for name in expected})
        if differences:
            more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise CheckpointError(
                f"The checkpoint is of {self.kind} with other settings: {'; '.join(differences[:3])}{more}."
            )

    def describe_differences(self, expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
        """One sentence for each difference between this module's hyperparameters and a checkpoint's."""
        return find_differences(expected, found)


def as_record(cls: type[T] | UnionType, value: Any) -> T:
    """``value`` itself if it is of type ``cls``, else the record that its plain JSON values describe."""
    return value if isinstance(value, cls) else from_plain(cls, value)
