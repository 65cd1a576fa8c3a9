"""The device of a network."""

import torch

from networks.device import module_device


def test_the_device_of_a_network_without_weights_is_the_cpu() -> None:
    assert module_device(torch.nn.Identity()) == torch.device("cpu")
    assert module_device(torch.nn.Linear(2, 2, device="meta")) == torch.device("meta")
