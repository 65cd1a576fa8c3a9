"""Random numbers by sample, step and place."""

import torch
from scipy import stats

from networks.generation.counter_rng import CounterRng, splitmix64

CPU = torch.device("cpu")


def _dice(numbers: range | list[int], seed: int = 0) -> CounterRng:
    return CounterRng.from_generator(torch.Generator().manual_seed(seed), list(numbers), CPU)


def test_the_mix_is_splitmix64s() -> None:
    """The first outputs of splitmix64 from seed 0, as its reference implementation gives them."""
    golden = 0x9E3779B97F4A7C15
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    states = [(golden * (number + 1)) % 2**64 for number in range(3)]
    found = splitmix64(torch.tensor([state - 2**64 if state >= 2**63 else state for state in states]))
    assert [value % 2**64 for value in found.tolist()] == expected


def test_numbers_are_uniform_and_independent_of_each_other() -> None:
    values = _dice(range(50)).uniform(2, 3, torch.arange(200).expand(50, 200))
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values.flatten().numpy(), "uniform").pvalue > 1e-3
    others = [
        _dice(range(50)).uniform(2, 4, torch.arange(200).expand(50, 200)),
        _dice(range(50)).uniform(3, 3, torch.arange(200).expand(50, 200)),
        _dice(range(50), 1).uniform(2, 3, torch.arange(200).expand(50, 200)),
        values.roll(1, 0),
        values.roll(1, 1),
    ]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([values.flatten(), other.flatten()]))[0, 1])) < 0.04


def test_a_sample_has_its_numbers_whatever_is_beside_it() -> None:
    places = torch.tensor([[0, 1, 2]])
    whole = _dice(range(5)).uniform(1, 1, places.expand(5, 3))
    assert torch.equal(_dice([3]).uniform(1, 1, places)[0], whole[3])
    assert torch.equal(_dice(range(5)).select(torch.tensor([4])).uniform(1, 1, places)[0], whole[4])
    assert torch.equal(_dice([3]).uniform(1, 1, torch.tensor([[2]]))[0, 0], whole[3, 2])
