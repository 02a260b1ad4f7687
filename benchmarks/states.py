"""Memory that hidden states of many items take: `E2H_CACHE=FOLDER python benchmarks/states.py [ITEMS]`.

Items have four choices; the states of two layers as wide as those of a 70B model (8,192) are kept. The model has next to
no other weights, so what is seen is the streaming: 10,000 items are 2.6 GB on disk, and should take under 2 GB in all.
"""
import re
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers

from e2h.lm import LM
from e2h.scoring import choice_states

WIDTH, CHOICES = 8192, [" a", " b", " c", " d"]


def own_memory():
    "MB that belong to this process alone; pages of mapped files can be dropped at any time and do not count."
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    sizes = dict(vocab_size=49152, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                 head_dim=4, intermediate_size=4, tie_word_embeddings=True)
    config = transformers.AutoConfig.for_model("llama", **sizes)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    lm = LM(model, LM.load("smollm2", dtype="bfloat16").tokenizer, "wide", None, "bfloat16")
    choice_states(lm, ["Warm up"], [CHOICES], (1, 2))
    seen = [own_memory()]
    model.register_forward_hook(lambda *args: seen.append(own_memory()))
    start = time.perf_counter()
    states = choice_states(lm, [f"Q{i}" for i in range(n)], [CHOICES] * n, (1, 2))
    seconds = time.perf_counter() - start
    checked = np.isfinite(states[0]).all() and np.isfinite(states[-1]).all() and states[-1].shape == (4, 2, WIDTH)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{n} items: {n * 4 * 2 * WIDTH * 4 / 2**20:.0f} MB on disk in {seconds:.0f} s, memory grew by "
          f"{max(seen) - seen[0]:.0f} MB, at most {peak:.0f} MB in all", "" if checked else "STATES ARE DAMAGED")


if __name__ == "__main__":
    main()
