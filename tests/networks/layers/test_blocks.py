"""Blocks against torch's own attention, and the rules of keeping keys and values."""

import torch
import torch.nn.functional as F
from torch import nn

from networks.layers.blocks import (
    MLP,
    BiasConfig,
    Block,
    BlockConfig,
    CrossAttention,
    DecoderBlock,
    KVCache,
    SelfAttention,
)

CONFIG = BlockConfig(width=24, heads=3)


def test_self_attention_is_torchs_multihead_attention_with_the_same_weights() -> None:
    torch.manual_seed(0)
    ours = SelfAttention(BlockConfig(width=24, heads=3, biases=BiasConfig.all_enabled()))
    theirs = nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = torch.randn(2, 5, 24)
    mask = torch.rand(5, 5) > 0.4
    mask.fill_diagonal_(True)
    expected, _ = theirs(x, x, x, attn_mask=~mask)
    torch.testing.assert_close(ours(x, mask[None, None])[0], expected)


def test_cross_attention_is_torchs_multihead_attention_with_the_same_weights() -> None:
    torch.manual_seed(0)
    ours = CrossAttention(CONFIG)
    theirs = nn.MultiheadAttention(24, 3, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.out_proj.weight.copy_(ours.out.weight)
    x, context = torch.randn(2, 4, 24), torch.randn(2, 7, 24)
    expected, _ = theirs(x, context, context)
    torch.testing.assert_close(ours(x, [ours.project_context(context)]), expected)


def test_the_gated_mlp_is_swiglu_and_the_plain_one_gelu() -> None:
    gated, plain = MLP(CONFIG), MLP(BlockConfig(width=24, heads=3, gated=False, biases=BiasConfig.all_enabled()))
    x = torch.randn(3, 24)
    assert gated.down.in_features == int(24 * 4 * 2 / 3)
    gate, up = gated.up.weight.chunk(2)
    torch.testing.assert_close(gated(x), F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), gated.down.weight))
    torch.testing.assert_close(plain(x), plain.down(F.gelu(plain.up(x))))


def test_queries_and_keys_are_normed_per_head_when_asked() -> None:
    attention = SelfAttention(BlockConfig(width=24, heads=3, qk_norm=True))
    _, seen = attention(torch.randn(2, 5, 24) * 100)
    torch.testing.assert_close(seen.key.mean(-1), torch.zeros(2, 3, 5), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.key.var(-1, unbiased=False), torch.ones(2, 3, 5), atol=1e-3, rtol=0)


def test_kept_keys_give_what_the_causal_mask_gives() -> None:
    torch.manual_seed(0)
    block, x, context = DecoderBlock(CONFIG), torch.randn(2, 6, 24), torch.randn(2, 5, 24)
    seen = [block.cross_attention_kv(context)]
    whole, _ = block(x, seen, mask=torch.ones(6, 6, dtype=torch.bool).tril()[None, None])
    past_key_values = KVCache(key=torch.empty(2, 3, 6, 8), value=torch.empty(2, 3, 6, 8))
    parts = [block(x[:, place : place + 1], seen, past_key_values=past_key_values)[0] for place in range(6)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_contexts_of_different_lengths_are_looked_at_as_each_would_be_alone() -> None:
    torch.manual_seed(0)
    block, x, mask = DecoderBlock(CONFIG), torch.randn(5, 3, 24), torch.ones(3, 1, 1, 4, dtype=torch.bool)
    mask[0, ..., 2:] = False
    contexts = [torch.randn(2, 7, 24), torch.randn(3, 4, 24)]
    together, _ = block(x, [block.cross_attention_kv(contexts[0]), block.cross_attention_kv(contexts[1], mask)])
    torch.testing.assert_close(together[:2], block(x[:2], contexts[0])[0])
    torch.testing.assert_close(together[2:], block(x[2:], contexts[1], context_mask=mask)[0])
    torch.testing.assert_close(together[2:3], block(x[2:3], contexts[1][:1, :2])[0])


def test_branches_that_are_given_the_same_are_told_apart_by_what_they_look_at() -> None:
    torch.manual_seed(0)
    block, x, contexts = DecoderBlock(CONFIG), torch.randn(2, 3, 24), [torch.randn(2, 7, 24), torch.randn(4, 4, 24)]
    seen = [block.cross_attention_kv(context) for context in contexts]
    apart, _ = block(x.repeat(3, 1, 1), seen)
    torch.testing.assert_close(block(x, seen)[0], apart)


def test_a_block_adds_to_what_it_is_given() -> None:
    block, x = Block(CONFIG), torch.randn(2, 5, 24)
    nn.init.zeros_(block.attention.out.weight)
    nn.init.zeros_(block.mlp.down.weight)
    torch.testing.assert_close(block(x), x)
