"""The diffusion decoder: a noise schedule, the denoiser's training loss, and sampling by DDIM."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalities.tokenizer_specs import ReconstructionLoss
from networks.tokenizers.config import DiffusionConfig, NoiseSchedule, PredictionType
from networks.tokenizers.tokenizer import fill_missing, reconstruction_loss
from networks.tokenizers.unet import UNet


def alphas_cumprod(
    steps: int, *, zero_terminal_snr: bool, schedule: NoiseSchedule = NoiseSchedule.linear
) -> Float[Tensor, " steps"]:
    """Remaining share of the signal's variance at each noise level (alpha bar).

    Source: Ho et al. 2020 (arXiv:2006.11239), section 4; Nichol & Dhariwal 2021 (arXiv:2102.09672), eq. 17, with their
    bound on a step's noise; Lin et al. 2023 (arXiv:2305.08891), algorithm 1.
    """
    betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    if schedule is NoiseSchedule.cosine:
        time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        left = ((time + 0.008) / 1.008 * torch.pi / 2).cos().square()
        betas = (1 - left[1:] / left[:-1]).clamp(max=0.999)
    amplitude = (1 - betas).cumprod(0).sqrt()
    if zero_terminal_snr:
        amplitude = (amplitude - amplitude[-1]) * amplitude[0] / (amplitude[0] - amplitude[-1])
    return amplitude.square().float()


def trailing_timesteps(steps: int, count: int) -> Int[Tensor, " count"]:
    """Noise levels of a sampler of ``count`` steps, the noisiest first, starting from pure noise.

    Source: "trailing" spacing, Lin et al. 2023 (arXiv:2305.08891), section 3.3.
    """
    return (steps - torch.arange(count, dtype=torch.float64) * steps / count).round().long() - 1


class DiffusionDecoder(nn.Module):
    """Decoder from codes to an image by iterative denoising."""

    alphas: Float[Tensor, " steps"]

    def __init__(
        self, config: DiffusionConfig, *, latent: int, channels: int, side: int, grid: int, kind: ReconstructionLoss
    ) -> None:
        super().__init__()
        self.config, self.kind = config, kind
        self.channels, self.pixels_per_code = channels, side // grid
        self.unet = UNet(config, channels=channels, latent=latent, side=side)
        alphas = alphas_cumprod(config.steps, zero_terminal_snr=config.zero_terminal_snr, schedule=config.schedule)
        self.register_buffer("alphas", alphas, persistent=False)

    def loss(
        self, x: Float[Tensor, "b c h w"], codes: Float[Tensor, "b k p q"], generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b c h w"]]:
        """The denoiser's loss at random noise levels, and its estimates of the clean images."""
        device = generator.device
        timestep = torch.randint(self.config.steps, x.shape[:1], generator=generator, device=device).to(x.device)
        noise = torch.randn(x.shape, generator=generator, device=device).to(x.device)
        signal_scale, noise_scale = self._signal_and_noise_scales(timestep)
        filled = fill_missing(x)
        noisy = signal_scale * filled + noise_scale * noise
        predicted: Tensor = self.unet(noisy, timestep, codes)
        # Where x is missing (NaN), so is the target, whatever is predicted.
        target = {
            PredictionType.sample: x,
            PredictionType.v: signal_scale * noise - noise_scale * x,
            PredictionType.noise: torch.where(x.isnan(), x, noise),
        }
        clean = self._predicted_sample(predicted.detach(), noisy, signal_scale, noise_scale)
        return reconstruction_loss(self.kind, predicted, target[self.config.prediction]), clean

    @torch.no_grad()
    def sample(
        self, codes: Float[Tensor, "b k p q"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Sample images for ``codes`` by DDIM without added noise (Song et al. 2021, arXiv:2010.02502, eq. 12).

        Args:
            generator: Draws the initial noise; None for the same noise each time.
        """
        generator = generator or torch.Generator().manual_seed(0)
        timesteps = trailing_timesteps(self.config.steps, self.config.sampling_steps)
        batch, sides = codes.shape[0], [side * self.pixels_per_code for side in codes.shape[2:]]
        x = torch.randn((batch, self.channels, *sides), generator=generator, device=generator.device).to(codes.device)
        for index, timestep in enumerate(timesteps.tolist()):
            timestep_batch = torch.full((batch,), timestep, device=codes.device)
            signal_scale, noise_scale = self._signal_and_noise_scales(timestep_batch)
            clean = self._dynamic_threshold(
                self._predicted_sample(self.unet(x, timestep_batch, codes), x, signal_scale, noise_scale)
            )
            noise = (x - signal_scale * clean) / noise_scale
            if index + 1 == len(timesteps):
                return clean
            signal_scale, noise_scale = self._signal_and_noise_scales(
                torch.full_like(timestep_batch, int(timesteps[index + 1]))
            )
            x = signal_scale * clean + noise_scale * noise
        raise AssertionError("a sampler has at least one step")

    def _signal_and_noise_scales(
        self, timestep: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b 1 1 1"], Float[Tensor, "b 1 1 1"]]:
        """Amplitudes of signal and noise at each sample's level."""
        share = self.alphas[timestep][:, None, None, None]
        return share.sqrt(), (1 - share).sqrt()

    def _predicted_sample(self, predicted: Tensor, noisy: Tensor, signal_scale: Tensor, noise_scale: Tensor) -> Tensor:
        match self.config.prediction:
            case PredictionType.sample:
                return predicted
            case PredictionType.v:
                return signal_scale * noisy - noise_scale * predicted
            case PredictionType.noise:
                # At zero terminal signal the noise determines no image; the bound keeps it finite.
                return (noisy - noise_scale * predicted) / signal_scale.clamp(min=1e-4)

    def _dynamic_threshold(self, clean: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The estimate with its largest magnitudes clipped.

        Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3) without its division: depth is
        standardised, so that magnitudes above 1 are valid, and bounded modalities are clipped in postprocessing.
        """
        if self.config.threshold == 0:
            return clean
        bound = clean.flatten(1).abs().quantile(self.config.threshold, dim=1).clamp(min=1, max=self.config.limit)
        bound = bound[:, None, None, None]
        return clean.clamp(-bound, bound)
