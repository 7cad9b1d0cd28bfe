"""The networks of VQGAN (Esser, Rombach & Ommer 2021, arXiv:2012.09841):
a convolutional autoencoder with a codebook between, and a transformer over codes.

Modules and tensors have the names of taming-transformers' files, so that a file's tensors are
loaded as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench_plugins._vqgan_transformer import Transformer

GROUPS = 32  # of every normalisation


@dataclass(frozen=True)
class Architecture:
    """What the networks are made from, in the words of taming-transformers' YAML."""

    resolution: int  # nominal: where attention lies is told by it
    in_channels: int
    out_ch: int
    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    z_channels: int
    embed_dim: int
    n_embed: int  # codes
    double_z: bool = False
    resamp_with_conv: bool = True
    gumbel: bool = False  # codes are chosen by a linear layer, not by distance
    used: int = 0  # the transformer knows so many of the codes alone; 0: all
    vocab_size: int = 0  # 0: the file has no transformer
    block_size: int = 0
    n_layer: int = 0
    n_head: int = 8
    n_embd: int = 256
    classes: int = 0  # 0: unconditional, begun by the token `sos_token`
    sos_token: int = 0
    permuted: bool = False  # the order in which the transformer sees the codes is the file's
    # genbench's own: images are enlarged so many times, bilinearly, as the digits are
    enlarge: int = 1

    @property
    def side(self) -> int:
        """Of the square of codes."""
        return self.resolution // 2 ** (len(self.ch_mult) - 1)


# The autoencoder


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class Residual(nn.Module):
    """Two convolutions beside a shortcut: [n, into, h, w] -> [n, out, h, w]."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(into), nn.Conv2d(into, out, 3, 1, 1)
        self.norm2, self.conv2 = norm(out), nn.Conv2d(out, out, 3, 1, 1)
        if into != out:
            self.nin_shortcut = nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    """Self-attention of one head among the pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        # [n, h w, channels]
        q, k, v = (layer(y).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return x + self.proj_out(
            F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        )


class Down(nn.Module):
    """Half the side; with a convolution, zeros are put at the right and at the bottom alone."""

    def __init__(self, channels: int, learnt: bool) -> None:
        super().__init__()
        if learnt:
            self.conv = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1))) if hasattr(self, "conv") else F.avg_pool2d(x, 2)


class Up(nn.Module):
    """Twice the side, by the nearest pixel, and where `learnt` a convolution."""

    def __init__(self, channels: int, learnt: bool) -> None:
        super().__init__()
        if learnt:
            self.conv = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0)
        return self.conv(x) if hasattr(self, "conv") else x


def level(into: int, out: int, blocks: int, attends: bool) -> nn.Module:
    """The residual blocks of one resolution, each with its attention where the resolution
    has any.
    """
    made = nn.Module()
    made.block = nn.ModuleList(Residual(into if i == 0 else out, out) for i in range(blocks))
    made.attn = nn.ModuleList(Attention(out) for _ in range(blocks if attends else 0))
    return made


def through(of: Any, x: Tensor) -> Tensor:
    """x through the blocks of a level."""
    for i, block in enumerate(of.block):
        x = block(x)
        if of.attn:
            x = of.attn[i](x)
    return x


def middle(channels: int) -> nn.Module:
    made = nn.Module()
    made.block_1, made.attn_1, made.block_2 = (
        Residual(channels, channels),
        Attention(channels),
        Residual(channels, channels),
    )
    return made


def across(of: Any, x: Tensor) -> Tensor:
    return of.block_2(of.attn_1(of.block_1(x)))


class Encoder(nn.Module):
    """Images [n, in_channels, h, w] -> features [n, z_channels, h / f, w / f],
    f = 2^(levels - 1).
    """

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        widths = [of.ch * factor for factor in of.ch_mult]
        self.conv_in = nn.Conv2d(of.in_channels, of.ch, 3, 1, 1)
        self.down = nn.ModuleList()
        for i, (into, out) in enumerate(zip([of.ch, *widths], widths, strict=False)):
            made = level(into, out, of.num_res_blocks, of.resolution // 2**i in of.attn_resolutions)
            if i < len(widths) - 1:
                made.downsample = Down(out, of.resamp_with_conv)
            self.down.append(made)
        self.mid = middle(widths[-1])
        self.norm_out = norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], of.z_channels * (1 + of.double_z), 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        one: Any
        for one in self.down:
            x = through(one, x)
            if hasattr(one, "downsample"):
                x = one.downsample(x)
        return self.conv_out(F.silu(self.norm_out(across(self.mid, x))))


class Decoder(nn.Module):
    """Features [n, z_channels, h / f, w / f] -> images [n, out_ch, h, w]."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        widths = [of.ch * factor for factor in of.ch_mult]
        self.conv_in = nn.Conv2d(of.z_channels, widths[-1], 3, 1, 1)
        self.mid = middle(widths[-1])
        self.up = nn.ModuleList()  # from the full resolution down, as the files have them
        for i, out in enumerate(widths):
            made = level(
                widths[min(i + 1, len(widths) - 1)],
                out,
                of.num_res_blocks + 1,
                of.resolution // 2**i in of.attn_resolutions,
            )
            if i:
                made.upsample = Up(out, of.resamp_with_conv)
            self.up.append(made)
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], of.out_ch, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = across(self.mid, self.conv_in(x))
        one: Any
        for one in reversed(self.up):
            x = through(one, x)
            if hasattr(one, "upsample"):
                x = one.upsample(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Codebook(nn.Module):
    """Vectors for codes: the nearest one's (van den Oord et al. 2017),
    or the likeliest by a linear layer (Gumbel, without its noise).
    """

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        if of.gumbel:
            self.proj, self.embed = (
                nn.Conv2d(of.embed_dim, of.n_embed, 1),
                nn.Embedding(of.n_embed, of.embed_dim),
            )
        else:
            self.embedding = nn.Embedding(of.n_embed, of.embed_dim)
        if of.used:
            self.register_buffer("used", torch.zeros(of.used, dtype=torch.int64))

    @property
    def vectors(self) -> Tensor:
        """[n_embed, embed_dim]"""
        return (self.embed if hasattr(self, "embed") else self.embedding).weight

    def codes(self, z: Tensor) -> Tensor:
        """z [n, embed_dim, h, w] -> int64 [n, h, w]."""
        if hasattr(self, "proj"):
            return self.proj(z).argmax(1)
        flat = z.movedim(1, -1)
        # the square of z itself is equal for all codes
        return (self.vectors.square().sum(1) - 2 * flat @ self.vectors.T).argmin(-1)

    def forward(self, codes: Tensor) -> Tensor:
        """int64 [n, h, w] -> [n, embed_dim, h, w]."""
        return self.vectors[codes].movedim(-1, 1)


class Autoencoder(nn.Module):
    """Images in -1 to 1 to codes and back."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.encoder, self.decoder, self.quantize = Encoder(of), Decoder(of), Codebook(of)
        self.quant_conv = nn.Conv2d(of.z_channels, of.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(of.embed_dim, of.z_channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Images [n, c, h, w] -> what the codebook is asked for, [n, embed_dim, h / f, w / f]."""
        return self.quant_conv(self.encoder(x))

    def decode(self, vectors: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(vectors))


class Networks(nn.Module):
    """All of a file."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.first_stage_model = Autoencoder(of)
        if of.vocab_size:
            self.transformer = Transformer(of)
        if of.permuted:
            self.permuter = nn.Module()
            for name in ("forward_shuffle_idx", "backward_shuffle_idx"):
                self.permuter.register_buffer(name, torch.arange(of.side**2))
