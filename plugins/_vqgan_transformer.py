"""The transformer over codes, minGPT's as taming-transformers has it,
and how codes are drawn from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from genbench_plugins._vqgan import Architecture


class Heads(nn.Module):
    """Causal self-attention."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.heads = of.n_head
        self.key, self.query, self.value, self.proj = (
            nn.Linear(of.n_embd, of.n_embd) for _ in range(4)
        )

    def forward(self, x: Tensor, past: list[Tensor] | None, rate: float) -> Tensor:
        """x [n, t, width] after what is in `past` (keys and values [n, heads, t0, width / heads],
        replaced by longer ones); None: x is the whole.
        """
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if past:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        if past is not None:
            past[:] = [k, v]
        # a single new one sees all before it
        y = F.scaled_dot_product_attention(
            q, k, v, is_causal=q.shape[2] == k.shape[2], dropout_p=rate
        )
        return self.proj(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.ln1, self.ln2, self.attn = nn.LayerNorm(of.n_embd), nn.LayerNorm(of.n_embd), Heads(of)
        self.mlp = nn.Sequential(
            nn.Linear(of.n_embd, 4 * of.n_embd), nn.GELU(), nn.Linear(4 * of.n_embd, of.n_embd)
        )

    def forward(self, x: Tensor, past: list[Tensor] | None, rate: float) -> Tensor:
        x = x + F.dropout(self.attn(self.ln1(x), past, rate), rate)
        return x + F.dropout(self.mlp(self.ln2(x)), rate)


class Transformer(nn.Module):
    """Which code comes next."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(of.vocab_size, of.n_embd)
        self.pos_emb = nn.Parameter(torch.zeros(1, of.block_size, of.n_embd))
        self.blocks = nn.Sequential(*(Layer(of) for _ in range(of.n_layer)))
        self.ln_f = nn.LayerNorm(of.n_embd)
        self.head = nn.Linear(of.n_embd, of.vocab_size, bias=False)

    def forward(
        self, tokens: Tensor, past: list[list[Tensor]] | None = None, rate: float = 0.0
    ) -> Tensor:
        """Tokens int64 [n, t] -> logits [n, t, vocab_size].

        past: a list for each layer, of what came before; it grows. rate: of dropout, in training.
        """
        before = past[0][0].shape[2] if past and past[0] else 0
        x = F.dropout(
            self.tok_emb(tokens) + self.pos_emb[:, before : before + tokens.shape[1]], rate
        )
        for i, block in enumerate(self.blocks):
            x = block(x, None if past is None else past[i], rate)
        return self.head(self.ln_f(x))


def drawn(logits: Tensor, uniform: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """A code for each row of logits [n, codes] by a uniform number [n]: int64 [n].

    top_k: of the likeliest so many alone; then top_p: of the fewest likeliest whose probabilities
    reach p (Holtzman et al. 2020); 0 and 1: of all.
    """
    found, order = (logits.double() / temperature).sort(dim=1, descending=True, stable=True)
    if top_k:
        found = found[:, :top_k]
    shares = found.softmax(1)
    before = shares.cumsum(1) - shares  # so the first is always kept
    shares = shares.where(before <= top_p, 0.0)
    summed = shares.cumsum(1)
    place = torch.searchsorted(summed, (uniform.double() * summed[:, -1])[:, None], right=True)[
        :, 0
    ]
    return order.gather(1, place.clamp(max=shares.shape[1] - 1)[:, None])[:, 0]


def tokens_of(
    net: Any,
    first: Tensor,
    uniform: Tensor,
    codes: int,
    temperature: float,
    top_k: int,
    top_p: float,
) -> Tensor:
    """Sequences of codes, int64 [n, t], drawn one after another behind the tokens `first` int64 [n]
    by uniform numbers [n, t].
    """
    past: list[list[Tensor]] = [[] for _ in net.blocks]
    found = [first]
    for at in range(uniform.shape[1]):
        # tokens beyond the codes are conditions, and no images
        logits = net(found[-1][:, None], past)[:, -1, :codes]
        found.append(drawn(logits, uniform[:, at], temperature, top_k, top_p))
    return torch.stack(found[1:], 1)
