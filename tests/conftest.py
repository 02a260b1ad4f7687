"""What several files need: one thread, the embedded model once, and tiny random models of other families."""
import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on busy cores are ten times slower than one

_LLAMA = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64)
FAMILIES = {
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
    "gpt_neo": dict(hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
                    bos_token_id=0, eos_token_id=0),
    "qwen2": _LLAMA,
    "llama": _LLAMA,
    "mistral": dict(_LLAMA, head_dim=8, sliding_window=8),
    "mixtral": dict(_LLAMA, head_dim=8, sliding_window=8, num_local_experts=4, num_experts_per_tok=2),
    "qwen3": dict(_LLAMA, head_dim=8, sliding_window=8, use_sliding_window=True, max_window_layers=1),
    "gemma": dict(_LLAMA, head_dim=8),
    "gemma2": dict(_LLAMA, head_dim=8, sliding_window=8),
    "gemma3_text": dict(_LLAMA, head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"]),
    "falcon": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=False),
    "mpt": dict(d_model=32, n_layers=2, n_heads=4),
    "bloom": dict(hidden_size=32, n_layer=2, n_head=4),
    "lfm2": dict(_LLAMA, layer_types=["conv", "full_attention"]),
    "mamba": dict(hidden_size=32, num_hidden_layers=2, state_size=4),
}

LONGEST = ("test_survival.py", "test_training.py", "test_scoring.py", "test_site.py")


def pytest_collection_modifyitems(items):
    "Files that take minutes go first, so that two workers end at about the same time."
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def smollm2():
    "The embedded model, not quantised."
    pytest.importorskip("transformers")
    from e2h.lm import LM
    return LM.load("smollm2", dtype="float32")


@pytest.fixture(scope="session")
def tiny(smollm2):
    "Makes random models that answer sharply enough to show a wrong mask or a wrong position."
    import torch
    import transformers

    from e2h.lm import LM

    def make(family="llama", seed=0, name="tiny", scale=5, cls=LM, **changes):
        config = transformers.AutoConfig.for_model(family, vocab_size=49152, **{**FAMILIES[family], **changes})
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            model = transformers.AutoModelForCausalLM.from_config(config).eval()
            for weight in model.parameters():
                if weight.dim() > 1: weight *= scale
        return cls(model, smollm2.tokenizer, name)

    return make
