"""Small models with various settings of attention, experts and soft caps, by name."""

from core.archs import Gemma2, Llama4, Olmo2

SHAPE = {"hidden_size": 32, "max_position_embeddings": 256}
MODELS = {
    "gemma2": Gemma2(num_hidden_layers=2, num_attention_heads=4, head_dim=8, **SHAPE),
    "gemma2-low-caps": Gemma2(
        num_hidden_layers=2,
        num_attention_heads=4,
        attn_logit_softcapping=0.5,
        final_logit_softcapping=0.2,
        **SHAPE,
    ),
    "gemma2-uncapped": Gemma2(
        num_hidden_layers=2,
        num_attention_heads=4,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        **SHAPE,
    ),
    "gemma2-sliding": Gemma2(
        num_hidden_layers=2, num_attention_heads=4, sliding_window=24, **SHAPE
    ),
    "llama4": Llama4(num_hidden_layers=4, num_attention_heads=4, num_local_experts=4, **SHAPE),
    "llama4-two-experts-a-token": Llama4(
        num_hidden_layers=2,
        num_attention_heads=4,
        num_local_experts=4,
        num_experts_per_tok=2,
        **SHAPE,
    ),
    "llama4-dense": Llama4(
        num_hidden_layers=2, num_attention_heads=4, num_local_experts=0, **SHAPE
    ),
    "llama4-bare": Llama4(
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=0,
        use_qk_norm=False,
        attention_bias=True,
        **SHAPE,
    ),
    "llama4-interleaved": Llama4(
        num_hidden_layers=4,
        num_attention_heads=4,
        num_local_experts=3,
        interleave_moe_layer_step=2,
        **SHAPE,
    ),
    "llama4-chunks": Llama4(
        num_hidden_layers=4,
        num_attention_heads=4,
        num_local_experts=2,
        attention_chunk_size=24,
        **SHAPE,
    ),
    "olmo2": Olmo2(num_hidden_layers=2, num_attention_heads=4, **SHAPE),
    "olmo2-grouped": Olmo2(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **SHAPE
    ),
}
