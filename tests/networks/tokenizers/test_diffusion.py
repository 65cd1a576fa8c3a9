"""The noise schedule and the sampler against numpy and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modalities.errors import ConfigError
from modalities.tokenizer_specs import ReconstructionLoss
from networks.tokenizers.config import DiffusionConfig, NoiseSchedule, PredictionType
from networks.tokenizers.diffusion import DiffusionDecoder, alphas_cumprod, trailing_timesteps
from networks.tokenizers.unet import UNet

CONFIG = DiffusionConfig(channels=16, multipliers=(1, 2), blocks=1, attention=(2,), sampling_steps=5)


def decoder(config: DiffusionConfig = CONFIG) -> DiffusionDecoder:
    torch.manual_seed(0)
    return DiffusionDecoder(config, latent=4, channels=2, side=16, grid=2, kind=ReconstructionLoss.mse)


class Oracle(nn.Module):
    """A denoiser that knows the answer, in any form of prediction."""

    def __init__(self, clean: Tensor, alphas: Tensor, prediction: PredictionType) -> None:
        super().__init__()
        self.clean, self.alphas, self.prediction = clean, alphas, prediction

    def forward(self, noisy: Tensor, timestep: Tensor, codes: Tensor) -> Tensor:
        if self.prediction is PredictionType.sample:
            return self.clean
        share = self.alphas[timestep][:, None, None, None]
        noise = (noisy - share.sqrt() * self.clean) / (1 - share).sqrt()
        if self.prediction is PredictionType.noise:
            return noise
        return share.sqrt() * noise - (1 - share).sqrt() * self.clean


def test_the_schedule_is_that_of_numpy_with_and_without_a_silent_end() -> None:
    alphas = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(alphas_cumprod(1000, zero_terminal_snr=False), alphas, rtol=1e-5)
    root = np.sqrt(alphas)
    silent = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    ours = alphas_cumprod(1000, zero_terminal_snr=True)
    np.testing.assert_allclose(ours, silent, rtol=1e-5, atol=1e-8)
    assert float(ours[-1]) == 0
    assert float(ours[0]) == pytest.approx(1 - 1e-4)


def test_the_cosine_schedule_is_that_of_its_equation() -> None:
    ours = alphas_cumprod(100, zero_terminal_snr=False, schedule=NoiseSchedule.cosine).numpy()
    time = np.arange(1, 101) / 100
    expected = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(ours[:-1], expected[:-1], rtol=1e-4)
    assert 0 < ours[-1] < ours[-2]


def test_a_sampler_starts_at_pure_noise_and_falls_evenly() -> None:
    assert trailing_timesteps(1000, 4).tolist() == [999, 749, 499, 249]
    assert trailing_timesteps(1000, 1000).tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize("prediction", list(PredictionType))
def test_a_perfect_denoiser_gives_back_the_image(prediction: PredictionType) -> None:
    # Where a level has no signal, the noise in it says nothing of the image.
    has_silent_end = prediction is not PredictionType.noise
    config = replace(CONFIG, prediction=prediction, threshold=0.0, zero_terminal_snr=has_silent_end)
    model, clean = decoder(config), torch.randn(3, 2, 16, 16)
    model.unet = Oracle(clean, model.alphas, prediction)  # type: ignore[assignment]
    torch.testing.assert_close(model.sample(torch.zeros(3, 4, 2, 2)), clean, atol=1e-3, rtol=1e-3)


def test_ddim_follows_equation_12_of_its_paper() -> None:
    model = decoder(replace(CONFIG, threshold=0.0))
    torch.nn.init.normal_(model.unet.write[2].weight, std=0.1)  # type: ignore[arg-type]
    codes = torch.randn(2, 4, 2, 2)
    x = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(4))
    alphas = [*(float(model.alphas[timestep]) for timestep in (999, 799, 599, 399, 199)), 1.0]
    with torch.no_grad():
        for index, timestep in enumerate((999, 799, 599, 399, 199)):
            now, then = alphas[index], alphas[index + 1]
            clean = model.unet(x, torch.full((2,), timestep), codes)
            noise = (x - now**0.5 * clean) / (1 - now) ** 0.5
            x = then**0.5 * clean + (1 - then) ** 0.5 * noise
    torch.testing.assert_close(model.sample(codes, torch.Generator().manual_seed(4)), x, atol=1e-4, rtol=1e-4)


def test_samples_repeat_with_their_generator() -> None:
    model, codes = decoder(), torch.randn(2, 4, 2, 2)
    torch.nn.init.normal_(model.unet.write[2].weight, std=0.1)  # type: ignore[arg-type]
    draws = [model.sample(codes, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(model.sample(codes), model.sample(codes))


def test_thresholding_cuts_at_the_quantile_but_never_below_one() -> None:
    model = decoder(replace(CONFIG, threshold=0.5))
    small, large = torch.full((1, 2, 16, 16), 0.3), torch.linspace(0, 4, 512).view(1, 2, 16, 16)
    cut = model._dynamic_threshold(torch.cat([small, large]))
    torch.testing.assert_close(cut[0], small[0])
    assert float(cut[1].max()) == pytest.approx(2.0, abs=0.01)
    published = decoder(replace(CONFIG, limit=1.0))._dynamic_threshold(large)
    assert float(published.max()) == 1


def test_the_codes_reach_the_denoiser_at_their_place() -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, attention=(), patch=2)
    unet = UNet(config, channels=1, latent=3, side=32)
    for module in unet.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = lambda x: x  # type: ignore[method-assign,assignment]
    torch.nn.init.normal_(unet.write[2].weight)  # type: ignore[arg-type]
    x, timestep, codes = torch.randn(1, 1, 32, 32), torch.tensor([3]), torch.randn(1, 3, 4, 4)
    moved = codes.clone()
    moved[0, :, 0, 0] += 1
    with torch.no_grad():
        change = (unet(x, timestep, codes) - unet(x, timestep, moved)).abs()[0, 0]
    assert float(change[:8, :8].max()) > 0
    assert float(change[-4:, -4:].max()) < float(change[:8, :8].max())


def test_sizes_that_do_not_halve_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 8, got 20"):
        UNet(CONFIG, channels=1, latent=3, side=20)
    with pytest.raises(ConfigError, match=r"diffusion.sampling_steps must lie in 1..1000, got 0"):
        DiffusionConfig(sampling_steps=0)
