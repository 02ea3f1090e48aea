"""The architecture of keysieve-nano: a byte-level llama decoder, small enough to embed.

Six pre-norm blocks of grouped-query attention (three query heads share one key-value head of
dimension 64) and a SwiGLU. RoPE turns pairs (i, i + 32) of a head; the embedding is tied to the
output. One token is one byte. The file reads from top to bottom in the order of the forward pass.
"""

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Config:
    width: int = 192
    layers: int = 6
    query_heads: int = 3
    key_value_heads: int = 1
    head_dim: int = 64
    hidden: int = 512  # of the SwiGLU
    vocab: int = 260  # 256 bytes, bos, eos, pad, and one token that is never used (see export.py)
    rope_base: float = 500_000.0
    norm_eps: float = 1e-5


def rope_tables(
    positions: torch.Tensor, config: Config, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for `positions` (length,): each (length, head_dim / 2)."""
    pair = torch.arange(config.head_dim // 2, dtype=torch.float64)
    frequency = config.rope_base ** (-2 * pair / config.head_dim)
    angle = torch.outer(positions.double(), frequency)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE on x (batch, heads, length, head_dim): the first half of a head pairs with the second."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Norm(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        query_width = config.query_heads * config.head_dim
        key_width = config.key_value_heads * config.head_dim
        self.query = nn.Linear(config.width, query_width, bias=False)
        self.key = nn.Linear(config.width, key_width, bias=False)
        self.value = nn.Linear(config.width, key_width, bias=False)
        self.output = nn.Linear(query_width, config.width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        heads = lambda t: t.view(batch, length, -1, self.config.head_dim).transpose(1, 2)
        query = rotate(heads(self.query(x)), cos, sin)  # (batch, query_heads, length, head_dim)
        key = rotate(heads(self.key(x)), cos, sin)  # (batch, key_value_heads, length, head_dim)
        value = heads(self.value(x))  # (batch, key_value_heads, length, head_dim)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.attention_norm = Norm(config)
        self.attention = Attention(config)
        self.feed_forward_norm = Norm(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Nano(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab, config.width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = Norm(config)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:  # every block starts as the identity
            nn.init.zeros_(block.attention.output.weight)
            nn.init.zeros_(block.feed_forward.down.weight)

    def forward(
        self,
        tokens: torch.Tensor,  # (batch, length), int64
        positions: torch.Tensor | None = None,  # (length,); 0, 1, 2, ... if left out
        last: int | None = None,  # logits of the last so many positions only
    ) -> torch.Tensor:  # (batch, last or length, vocab)
        if positions is None:
            positions = torch.arange(tokens.shape[1])
        x = self.embedding(tokens)  # (batch, length, width)
        cos, sin = rope_tables(positions, self.config, x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        if last is not None:
            x = x[:, -last:]
        return F.linear(self.norm(x), self.embedding.weight)
