"""Encoder of autoencoder textures.

values ─ analysis ─▶ latents ─ quantise, code (EncoderSource) ─▶ payload
              ▲          └ synthesis ─ error ─ gradient ─▶ quantisation targets (refine)
"""

from __future__ import annotations

import math

import numpy as np
import torch

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Workers
from deepstd.rate.tradeoff import rd_cost
from deepstd.texture.autoencoder.latents import code_latents, in_steps, latent_grid
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.parts import (
    Surroundings,
    analyse,
    surroundings,
    synthesis_gradient,
    synthesise,
)
from deepstd.texture.autoencoder.transform import padded
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.entropy.symbols import EncoderSource
from deepstd.texture.header import TextureHeader
from deepstd.texture.networks.runtime import Arithmetic, replicas, torch_device
from deepstd.texture.networks.source import OnTensors
from deepstd.texture.scaling import STEPS_PER_OCTAVE, Scaling, finest_step_code, log_rate
from deepstd.texture.wavelet.bitstream import EncodedTexture
from deepstd.texture.wavelet.refinement import DAMPING


class AutoencoderEncoder:
    """Encoder of one scan at any step, with the interface of `texture.codec.Encoder`.

    Args:
        network: network of the scan's number of axes.
        values: finite grey values, (*shape).
        conditioning: warped template and coordinates, or None.
        workers: devices that share analysis and synthesis; the network is on the first of them.

    Attributes:
        values: finite grey values, (*shape).
        workers: devices that share analysis and synthesis.
        finest: largest step code at which all latents can be coded.

    Raises:
        InputError: the values span more than can be coded.
    """

    def __init__(
        self,
        network: AutoencoderNetwork,
        values: np.ndarray,
        conditioning: Conditioning | None = None,
        *,
        workers: Workers = CPU,
    ) -> None:
        self._network, self.workers = network, workers
        self._networks, self._device = replicas(network, workers), torch_device(workers.first)
        self._savings = symbol_savings(network.tables)
        self._conditioning = conditioning
        self._correction: np.ndarray | None = None
        self.shape = tuple(values.shape)
        self.coarse: tuple[int, ...] = (0,) * values.ndim
        matched = None if conditioning is None else conditioning.template
        self.scaling = Scaling.fit(values, matched)
        self.values = values
        self._normalised = self.scaling.normalise(values)
        growth = math.log2(network.config.bands) / 2
        self.finest = finest_step_code(self._normalised, growth)

    @property
    def conditioned(self) -> bool:
        """True where the encoder is conditioned on a template."""
        return self._conditioning is not None

    @property
    def divisible(self) -> None:
        """No encoder: latents are not counted, and a part of the scan is not encoded alone."""
        return None

    @property
    def priced(self) -> None:
        """No encoder: latents belong to no voxel."""
        return None

    @property
    def recoder(self) -> None:
        """No encoder: there are no tiles with streams of their own."""
        return None

    @property
    def undivided(self) -> AutoencoderEncoder:
        """The encoder: all latents are in one stream."""
        return self

    def encode(
        self, step_code: int, rate_weight: float, *, last_weight: float | None = None
    ) -> EncodedTexture:
        """Encode at a step code and a λ.

        Args:
            step_code: code of the quantisation step.
            rate_weight: λ, squared steps that a bit is worth.
            last_weight: λ of the last pass; None to use ``rate_weight``.
        """
        return self._encode(step_code, rate_weight, (), last_weight)[0]

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> EncodedTexture:
        """Refine the quantisation targets of later encodings.

        The method is the one of `wavelet.refinement`, with the gradient of the restored scan's
        error through the synthesis.

        Args:
            step_code: code of the quantisation step that is refined for.
            rate_weight: λ, squared steps that a bit is worth.
            rounds: number of corrections; each takes about two encodings.

        Returns:
            The encoding with the refined targets.
        """
        best: tuple[float, np.ndarray | None, EncodedTexture] | None = None
        truth = self._in_steps(step_code)
        around = self._around(step_code)
        for left in range(rounds, -1, -1):
            grid = latent_grid(self._network.config, self.shape)
            error = np.zeros((1, self._network.config.bands, *grid), np.float32)
            encoded, latents = self._encode(step_code, rate_weight, (error,))
            squared, gradient = synthesis_gradient(self._network, latents, around, truth)
            cost = rd_cost(squared, encoded.nbytes)
            if best is None or cost < best[0]:
                best = cost, self._correction, encoded
            if left:
                aim = error - 0.5 * gradient.cpu().numpy()
                before = np.zeros_like(error) if self._correction is None else self._correction
                self._correction = before + DAMPING * (aim - before)
        if best is None:
            raise ValueError("a number of corrections is not negative")
        self._correction = best[1]
        return best[2]

    def release(self) -> None:
        """Release nothing: no tensors are kept between encodings."""

    def restored(self, encoded: EncodedTexture, step_code: int) -> np.ndarray:
        """Return the restored values in steps, (*shape) float32."""
        latents = in_steps(torch.from_numpy(encoded.low).to(self._device))
        steps = synthesise(self._networks, latents, self._around(step_code), self.workers)
        return steps[0, 0][tuple(slice(0, n) for n in self.shape)].cpu().numpy()

    def _around(self, step_code: int) -> Surroundings:
        return surroundings(self._network.config, self._conditioning, step_code, self._device)

    def _in_steps(self, step_code: int) -> torch.Tensor:
        values = torch.from_numpy(self._normalised)[None, None].to(self._device)
        return padded(values * 2.0 ** (step_code / STEPS_PER_OCTAVE), self._network.config.stride)

    def _encode(
        self,
        step_code: int,
        rate_weight: float,
        errors: tuple[np.ndarray, ...],
        last_weight: float | None = None,
    ) -> tuple[EncodedTexture, torch.Tensor]:
        network = self._network
        around = self._around(step_code)
        latents = analyse(self._networks, self._in_steps(step_code), around, self.workers)
        with torch.no_grad():
            hyper = network.hyper_analysis(latents)
        grid = latents.shape[2:]
        targets = [part.cpu().numpy() for part in (latents, hyper)]
        corrections = () if self._correction is None else (self._correction,)
        source = EncoderSource(
            network.tables,
            targets[0],
            targets,
            UNITS_PER_STEP,
            rate_weight,
            self._savings,
            corrections,
            errors,
            None if last_weight is None else (network.config.passes - 1, last_weight),
        )
        units = code_latents(
            network.latents,
            grid,
            [log_rate(step_code)],
            around.blocks,
            OnTensors(source),
            Arithmetic.on(self._device),
        )
        head = TextureHeader(self.scaling, step_code, self.coarse).pack()
        stream, symbols = source.stream.finish(), source.symbols_coded
        low = units.cpu().numpy()
        encoded = EncodedTexture(head, stream, symbols, (), lambda tiles: low)
        return encoded, in_steps(units)
