"""The two systems that teach, as games of a generator against discriminators: what each draws and which losses it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.networks.faceshifter import AEINet
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.patchgan import MultiScalePatchGAN, Norm, PatchGAN, image_pyramid
from mfs_lib.networks.sface import SFace
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.training.distillation_losses import hinge_discriminator, hinge_generator, identity_loss
from mfs_lib.training.gan_config import DiscriminatorConfig, GanExperiment, GanLossConfig
from mfs_lib.training.gan_data import Faces, GanBatch
from mfs_lib.training.gan_losses import (
    attribute_loss,
    gradient_penalty,
    same_reconstruction,
    weak_feature_matching,
)
from mfs_lib.training.teachers.generators import build_generator, render


def build_discriminators(config: DiscriminatorConfig) -> MultiScalePatchGAN:
    """One for each scale; they read an `image_pyramid` of pictures in [-1,1]."""
    return MultiScalePatchGAN(
        [
            PatchGAN(
                channels=config.channels, strided=config.strided, padding=1, norm=cast(Norm, config.norm),
                spectral=config.spectral,
            )
            for _ in range(config.scales)
        ]
    )  # fmt: skip


class Game:
    """Generator, discriminators and the losses of SimSwap, which FaceShifter changes in part."""

    def __init__(self, experiment: GanExperiment, sface: SFace) -> None:
        self.experiment = experiment
        self.generator: nn.Module = build_generator(experiment.network)
        if isinstance(self.generator, SimSwapGenerator):
            self.generator.silence_identity()
        self.discriminators = build_discriminators(experiment.discriminator)
        self.sface = sface

    def draw(self, faces: Faces, step: int, generator: torch.Generator) -> GanBatch:
        """SimSwap: whole batches show the same person twice, every other one where `same` is a half."""
        share = self.experiment.same
        repeats = step < self.experiment.warm_up or int((step + 1) * share + 1e-9) > int(step * share + 1e-9)
        return faces.draw(torch.full((self.experiment.batch,), repeats), "person", generator)

    def maps(self, picture: Tensor) -> list[list[Tensor]]:
        """What the discriminators see in pictures in [0,1], at each scale: all layers, the scores last."""
        return self.discriminators.features(self._pyramid(picture))

    def _pyramid(self, picture: Tensor) -> list[Tensor]:
        return image_pyramid(picture * 2 - 1, scales=self.experiment.discriminator.scales)

    def weights(self, step: int) -> GanLossConfig:
        """Of the losses at a step: in the warm-up that of the reconstruction alone, then the experiment's."""
        if step < self.experiment.warm_up:
            return GanLossConfig(adv=0, id=0, rec=self.experiment.loss.rec)
        return self.experiment.loss

    def losses(self, batch: GanBatch, weights: GanLossConfig) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's results and its losses that have a weight, unweighted, per sample."""
        result = render(self.generator, batch.target, batch.embedding)
        values = {"rec": same_reconstruction(result, batch.target, batch.same)} if weights.rec else {}
        if weights.adv or weights.features:
            seen = self.maps(result)
            values["adv"] = hinge_generator([scale[-1] for scale in seen])
            if weights.features:
                with torch.no_grad():
                    wanted = self.maps(batch.target)
                values["features"] = weak_feature_matching(seen, wanted, self.experiment.match_from)
        return result, values | self._identity(result, batch, weights)

    def _identity(self, result: Tensor, batch: GanBatch, weights: GanLossConfig) -> dict[str, Tensor]:
        """The identity loss of the first few pictures: batches are drawn in no order."""
        count = min(self.experiment.identity_samples, len(result))
        if not weights.id or not count:
            return {}
        found: IdentityFeatures = self.sface(arcface_view(result[:count]))
        return {"id": identity_loss(found.embedding, batch.embedding[:count])}

    def rival_losses(
        self, result: Tensor, target: Tensor, generator: torch.Generator, weights: GanLossConfig
    ) -> dict[str, Tensor]:
        """The discriminators' losses on the generator's pictures and on real ones, unweighted, per sample.

        None where the generator has no use for discriminators.
        """
        if not weights.adv and not weights.features:
            return {}
        fake, real = (self.discriminators(self._pyramid(x)) for x in (result.detach(), target))
        values = {"discriminator": hinge_discriminator(real, fake)}
        if weights.penalty:
            share = torch.rand((len(target), 1, 1, 1), generator=generator).to(target)
            values["penalty"] = gradient_penalty(self.discriminators, target * 2 - 1, result.detach() * 2 - 1, share)
        return values


class FaceShifterGame(Game):
    """FaceShifter's AEI-Net: attributes instead of matched features; some targets are the source's own picture."""

    def draw(self, faces: Faces, step: int, generator: torch.Generator) -> GanBatch:
        """Each target is its own source with the chance `same`."""
        share = 1.0 if step < self.experiment.warm_up else self.experiment.same
        same = torch.rand((self.experiment.batch,), generator=generator) < share
        return faces.draw(same, "picture", generator)

    def losses(self, batch: GanBatch, weights: GanLossConfig) -> tuple[Tensor, dict[str, Tensor]]:
        """As SimSwap's, with the attribute maps of the result, and half squares for the reconstruction."""
        network = cast(AEINet, self.generator)
        result, wanted = network(batch.target, batch.embedding)
        values: dict[str, Tensor] = {}
        if weights.rec:
            values["rec"] = same_reconstruction(result, batch.target, batch.same, squared=True)
        if weights.adv:
            values["adv"] = hinge_generator([scale[-1] for scale in self.maps(result)])
        if weights.attributes:
            tanh = network.config.output == "tanh"
            values["attributes"] = attribute_loss(network.encoder(result * 2 - 1 if tanh else result), wanted)
        return result, values | self._identity(result, batch, weights)


GAMES: dict[str, Callable[[GanExperiment, SFace], Game]] = {"simswap": Game, "faceshifter": FaceShifterGame}
