"""The MobileFaceSwap release's networks from PaddlePaddle's public building blocks, under the release's key names.

Own writing from the description of the release (its layer tables and the names in its .pdparams files); none of its
code is used. The keys that matter, for the two files of the release:

| file      | keys                                                                                     |
|-----------|------------------------------------------------------------------------------------------|
| identity  | conv1, bn1, prelu, bn2, fc, bn3; layer{1..4}.{j}: bn0, conv1, bn1, prelu, conv2, bn2,    |
|           | se.fc.{0,1,2}, downsample.{0,1}                                                          |
| injection | EncoderModulation.{i}, DecoderModulation.{i}: weight, style                              |
|           | predictor: first, norm, first_decoder, decoder_norm; encoder.{i}, decoder.{i}: conv, norm, weight |
|           | final.{1,2,4,5,7}; mask.{0..4}.{1,2,3}, mask.5                                           |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional

SLOPE = 0.1
ENCODER = ((3, 32), (32, 64), (64, 128), (128, 256), (256, 512))
DECODER = ((512, 256), (512, 128), (256, 64), (128, 32))
MASK = ((512, 128), (128, 64), (64, 32), (32, 8), (8, 2))
EMBEDDING = 512

Array = np.ndarray[Any, np.dtype[np.float32]]


def up() -> Any:
    """Bilinear doubling with aligned corners."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


# ------------------------------------------------------------------ identity network


class Weighting(nn.Layer):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 16), nn.PReLU(), nn.Linear(channels // 16, channels), nn.Sigmoid()
        )

    def forward(self, x: Any) -> Any:
        """Scale each channel."""
        gate = self.fc(x.mean(axis=[2, 3]))
        return x * gate.unsqueeze(-1).unsqueeze(-1)


class Block(nn.Layer):
    """Improved-residual block whose two activations are one layer."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2D(inputs)
        self.conv1 = nn.Conv2D(inputs, inputs, 3, padding=1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2D(inputs, outputs, 3, stride=stride, padding=1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(outputs)
        self.se = Weighting(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2D(inputs, outputs, 1, stride=stride, bias_attr=False), nn.BatchNorm2D(outputs)
            )

    def forward(self, x: Any) -> Any:
        """(B, Cin, H, W) to (B, Cout, H / stride, W / stride)."""
        y = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        y = self.se(self.bn2(self.conv2(y)))
        return self.prelu(y + (x if self.downsample is None else self.downsample(x)))


class IdentityNetwork(nn.Layer):
    """SE-IR residual network of 3 + 4 + 23 + 3 blocks."""

    def __init__(self, layers: tuple[int, ...] = (3, 4, 23, 3)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(3, 64, 3, padding=0, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2D(2, 2)
        inputs = 64
        for index, (outputs, count) in enumerate(zip((64, 128, 256, 512), layers, strict=True)):
            blocks = [Block(inputs if j == 0 else outputs, outputs, 2 if index and j == 0 else 1) for j in range(count)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.bn2 = nn.BatchNorm2D(512)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(512 * 7 * 7, EMBEDDING)
        self.bn3 = nn.BatchNorm1D(EMBEDDING)

    def forward(self, face: Any) -> tuple[Any, Any]:
        """RGB (B, 3, 112, 112) in [0, 1] to the embedding of unit length and the feature map."""
        mean, std = (paddle.to_tensor(v).reshape([1, 3, 1, 1]) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        x = self.maxpool(self.prelu(self.bn1(self.conv1((face - mean) / std))))
        for index in range(4):
            x = getattr(self, f"layer{index + 1}")(x)
        features = self.dropout(self.bn2(x))
        embedding = self.bn3(self.fc(features.flatten(1)))
        return functional.normalize(embedding, axis=1), features


# ------------------------------------------------------------------ injection


class Modulation(nn.Layer):
    """Learned pointwise weight, modulated and demodulated for one embedding (B = 1)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([outputs, inputs, 1, 1])
        self.style = nn.Linear(EMBEDDING, inputs)

    def forward(self, embedding: Any) -> Any:
        """(1, 512) to (Cout, Cin, 1, 1)."""
        scaled = self.weight * (self.style(embedding).reshape([1, -1, 1, 1]) + 1)
        return scaled * paddle.rsqrt((scaled * scaled).sum(axis=[1, 2, 3], keepdim=True) + 1e-16)


class KernelBlock(nn.Layer):
    """Features passed on, and the kernel of one depthwise layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2D(outputs)
        self.act = nn.LeakyReLU(SLOPE)
        self.weight = nn.Conv2D(outputs, outputs, 3, padding=1)

    def forward(self, x: Any) -> tuple[Any, Any]:
        """(1, Cin, k, k) to (1, C, k, k), twice."""
        hidden = self.act(self.norm(self.conv(x)))
        return hidden, self.weight(hidden)


class Predictor(nn.Layer):
    """Depthwise kernels from the feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(512, 512, 4)
        self.norm = nn.BatchNorm2D(512)
        self.first_decoder = nn.Conv2D(512, 512, 2)
        self.decoder_norm = nn.BatchNorm2D(512)
        self.act = nn.LeakyReLU(SLOPE)
        needed = [inputs for inputs, _ in ENCODER[::-1]]
        self.encoder = nn.LayerList([KernelBlock(i, o) for i, o in zip([512, *needed[:-1]], needed, strict=True)])
        needed = [inputs for inputs, _ in DECODER]
        self.decoder = nn.LayerList([KernelBlock(i, o) for i, o in zip([512, *needed[:-1]], needed, strict=True)])

    def forward(self, features: Any) -> tuple[list[Any], list[Any]]:
        """(1, 512, 7, 7) to kernels (C, 1, k, k) of the encoder and of the decoder, first stage first."""
        h = self.act(self.norm(self.first(features)))
        g = self.act(self.decoder_norm(self.first_decoder(h)))
        found: list[list[Any]] = [[], []]
        for kernels, chain, x in zip(found, (self.encoder, self.decoder), (h, g), strict=True):
            for block in chain:
                x, kernel = block(x)
                kernels.append(kernel.transpose([1, 0, 2, 3]))
        return found[0][::-1], found[1]


def final_layers() -> Any:
    """The learned output block."""
    return nn.Sequential(
        up(),
        nn.Conv2D(32, 8, 1),
        nn.BatchNorm2D(8),
        nn.LeakyReLU(SLOPE),
        nn.Conv2D(8, 3, 3, padding=1),
        nn.BatchNorm2D(3),
        nn.LeakyReLU(SLOPE),
        nn.Conv2D(3, 3, 3, padding=1),
        nn.Tanh(),
    )


def mask_layers() -> Any:
    """The mask head."""
    layers = [
        nn.Sequential(
            up(),
            nn.Conv2D(i, i, 3, padding=1, groups=i),
            nn.Conv2D(i, o, 1),
            nn.BatchNorm2D(o),
            nn.LeakyReLU(SLOPE),
        )
        for i, o in MASK
    ]
    return nn.Sequential(*layers, nn.Conv2D(2, 1, 3, padding=1), nn.Sigmoid())


class Injection(nn.Layer):
    """What the release's file holds: modulation, predictor, and the learned parts of the mobile network."""

    def __init__(self) -> None:
        super().__init__()
        self.EncoderModulation = nn.LayerList([Modulation(i, o) for i, o in ENCODER])
        self.DecoderModulation = nn.LayerList([Modulation(i, o) for i, o in DECODER])
        self.predictor = Predictor()
        self.final = final_layers()
        self.mask = mask_layers()

    def forward(self, embedding: Any, features: Any) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]:
        """Depthwise and pointwise weights of every layer of the encoder and of the decoder."""
        encoder, decoder = self.predictor(features)
        return (
            list(zip(encoder, [one(embedding) for one in self.EncoderModulation], strict=True)),
            list(zip(decoder, [one(embedding) for one in self.DecoderModulation], strict=True)),
        )


# ------------------------------------------------------------------ mobile network


class MobileNetwork(nn.Layer):
    """The network of every frame: convolutions into which one person's weights are written."""

    def __init__(self) -> None:
        super().__init__()
        self.Encoder = nn.LayerList(
            [
                nn.Sequential(nn.Conv2D(i, i, 4, 2, 1, groups=i), nn.Conv2D(i, o, 1), nn.LeakyReLU(SLOPE))
                for i, o in ENCODER
            ]
        )
        self.Decoder = nn.LayerList(
            [
                nn.Sequential(nn.Conv2D(i, i, 3, padding=1, groups=i), nn.Conv2D(i, o, 1), nn.LeakyReLU(SLOPE))
                for i, o in DECODER
            ]
        )
        self.up = up()
        self.final = final_layers()
        self.mask = mask_layers()

    def write(self, injection: Injection, embedding: Any, features: Any) -> None:
        """One person's weights in; biases of encoder and decoder keep Paddle's default, zero."""
        for stages, weights in zip((self.Encoder, self.Decoder), injection(embedding, features), strict=True):
            for stage, (depthwise, pointwise) in zip(stages, weights, strict=True):
                stage[0].weight.set_value(depthwise)
                stage[1].weight.set_value(pointwise)
        self.final.set_state_dict(injection.final.state_dict())
        self.mask.set_state_dict(injection.mask.state_dict())

    def forward(self, target: Any) -> tuple[Any, Any, Any]:
        """(B, 3, H, W) in [0, 1] to the composite, the network's own image and the mask."""
        x, skips = target * 2 - 1, []
        for stage in self.Encoder:
            x = stage(x)
            skips.append(x)
        mask = self.mask(x.detach())
        for index, stage in enumerate(self.Decoder):
            x = stage(self.up(x))
            if index < 3:
                x = paddle.concat([x, skips[3 - index]], axis=1)
        raw = (self.final(x) + 1) / 2
        return raw * mask + (1 - mask) * target, raw, mask


# ------------------------------------------------------------------ random weights and outputs


def randomise(network: Any, seed: int) -> None:
    """Weights that keep signals at a healthy size, and normalisations with statistics far from 0 and 1.

    Kernel heads are made smaller, since what they predict are weights of a network without normalisation.
    """
    rng = np.random.default_rng(seed)

    def normal(parameter: Any, scale: float, around: float = 0.0) -> None:
        parameter.set_value((around + scale * rng.standard_normal(parameter.shape)).astype(np.float32))

    def spread(parameter: Any, low: float, high: float) -> None:
        parameter.set_value(rng.uniform(low, high, parameter.shape).astype(np.float32))

    for name, layer in network.named_sublayers():
        if isinstance(layer, nn.Conv2D | nn.Linear):
            shape = layer.weight.shape
            fan = shape[0] if isinstance(layer, nn.Linear) else int(np.prod(shape[1:]))
            normal(layer.weight, (0.3 if name.endswith(".weight") else 1.2) * fan**-0.5)
            if layer.bias is not None:
                normal(layer.bias, 0.1)
        elif isinstance(layer, nn.BatchNorm2D | nn.BatchNorm1D):
            for parameter, low, high in ((layer.weight, 0.6, 1.2), (layer._variance, 0.6, 1.8)):
                spread(parameter, low, high)
            normal(layer.bias, 0.2)
            normal(layer._mean, 0.2)
        elif isinstance(layer, nn.PReLU):
            spread(layer._weight, 0.1, 0.4)
        elif isinstance(layer, Modulation):
            normal(layer.weight, layer.weight.shape[1] ** -0.5)
    network.eval()


def record(network: Any, into: dict[str, list[Array]], prefix: str) -> None:
    """Keep every output of the layers that have no layers inside, and of whole blocks, by name and call by call."""

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(layer: Any, inputs: Any, output: Any) -> None:
            into.setdefault(name, []).append(output.numpy())

        return hook

    for name, layer in network.named_sublayers():
        if not layer.sublayers() or isinstance(layer, Block | Weighting | Modulation):
            layer.register_forward_post_hook(keep(prefix + name))
