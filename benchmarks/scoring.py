"""Seconds an item takes, against other ways to the same numbers: `E2H_DATA=FOLDER python benchmarks/scoring.py --help`.

Everything is measured in one run on one machine, with the same weights, prompts and threads; the ratios are what counts.
The slow ways see every n-th item of the same set, sorted by length, and their seconds are given per item.
"""
import argparse
import os
import sys
import time
from functools import partial

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--parts", default="others,shots,items,bound", help="some of others, shots, items, bound")
    parser.add_argument("--dtypes", default="float32,bfloat16", help="number formats of the model")
    parser.add_argument("--formats", default="cloze,paper", help="prompt formats")
    parser.add_argument("--items", type=int, default=200, help="ARC items that e2h scores")
    parser.add_argument("--slow-items", type=int, default=12, help="of these, how many the slow ways score")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    return parser.parse_args()


def clock(do):
    "Seconds that a function takes, and what it gives."
    start = time.perf_counter()
    found = do()
    return time.perf_counter() - start, found


def sample(texts, n):
    "Positions of n texts, evenly spaced by length."
    order = np.argsort([len(text) for text in texts])
    return order[((np.arange(n) + .5) * len(texts) / n).astype(int)]


def by_lm_eval(lm, texts, choices):
    "Log-probabilities by lm-evaluation-harness, batch 8, its rows of tokens, and the seconds it took."
    import logging

    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from e2h.scoring import Row
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    other = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=8, device=str(lm.device))
    pairs = [(text, choice) for text, some in zip(texts, choices, strict=True) for choice in some]
    asked = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    seconds, found = clock(lambda: other.loglikelihood(asked, disable_tqdm=True))
    rows = iter([Row(head + tail, len(head)) for head, tail in (other._encode_pair(*pair) for pair in pairs)])
    logps = iter(logp for logp, _ in found)
    return seconds, *([[next(each) for _ in some] for some in choices] for each in (logps, rows))


def score(lm, texts, choices):
    from e2h.scoring import choice_logprobs
    return choice_logprobs(lm, texts, choices)


def by_transformers(lm, rows):
    "Log-probabilities by one plain call of the model a row, as its documentation shows it."
    import torch
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.tokens], device=lm.device)
            logps = lm.model(input_ids=ids).logits[0].float().log_softmax(-1)
            yield sum(logps[at - 1, row.tokens[at]].item() for at in range(row.start, len(row.tokens)))


def others(lm, texts, choices, slow):
    "Ours against lm-evaluation-harness and against one plain row a choice."
    from e2h.scoring import score_rows, tokenise
    few, their_choices = [texts[i] for i in slow], [choices[i] for i in slow]
    ours, mine = clock(lambda: score(lm, texts, choices))
    plain, rows = clock(lambda: [list(by_transformers(lm, item)) for item in tokenise(lm, few, their_choices)])
    theirs, found, their_rows = by_lm_eval(lm, few, their_choices)
    same = dict(score_rows(lm, their_rows))
    gaps = [max(np.abs(mine[i] - np.array(r)).max() for i, r in zip(slow, rows, strict=True)),
            max(np.abs(same[i].logprobs - np.array(f)).max() for i, f in enumerate(found))]
    ours, plain, theirs = ours / len(texts), plain / len(slow), theirs / len(slow)
    print(f"    e2h {ours:7.3f} s an item ({len(texts)} items)")
    names = ["one plain row a choice", "lm-evaluation-harness "]
    for name, seconds, gap in zip(names, [plain, theirs], gaps, strict=True):
        ratio = seconds / ours
        print(f"    {name}  {seconds:7.3f} s an item ({len(slow)})  {ratio:5.1f} x  differs by {gap:.0e}", flush=True)


def bound(lm, texts, choices):
    "Useful arithmetic a second, as a share of what bare matrix products of the same shapes reach."
    import torch

    from e2h.scoring import common_prefix, grow, tokenise
    items = tokenise(lm, texts, choices)
    shared = common_prefix([row for item in items for row in item])
    trees = [grow([row.tokens[shared:] for row in item]) for item in items]
    nodes = shared + sum(len(tree.token) for tree in trees)
    heads = sum(len({tuple(row.tokens[:t]) for row in item for t in range(row.start, len(row.tokens))})
                for item in items)
    config = lm.model.config
    seen = shared * (shared + 1) / 2 + sum((np.array(tree.depth) + 1 + shared).sum() for tree in trees)
    linear = [m.weight.shape for m in lm.model.model.modules() if isinstance(m, torch.nn.Linear)]
    useful = 2 * nodes * sum(a * b for a, b in linear) + 2 * heads * config.vocab_size * config.hidden_size \
        + 4 * seen * config.num_attention_heads * config.head_dim * config.num_hidden_layers
    seconds, _ = clock(lambda: score(lm, texts, choices))
    x = {n: torch.randn(512, n, dtype=lm.model.dtype) for _, n in linear}
    weights = [m.weight for m in lm.model.model.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():
        products = min(clock(lambda: [x[w.shape[1]] @ w.T for w in weights])[0] for _ in range(5))
    peak = 2 * 512 * sum(a * b for a, b in linear) / products
    print(f"    {nodes} tokens in {seconds:.1f} s, {nodes / seconds:.0f} a second; {useful / seconds / 1e9:.0f} of "
          f"{peak / 1e9:.0f} GFLOP/s: {useful / seconds / peak:.0%} of the bound", flush=True)


def measure(lm, name, shots, items, asked):
    "All parts asked for, with one model and one prompt format."
    from e2h.prompts import choice_strings, prompts
    choices = choice_strings(items, name)
    texts = {k: prompts(items, shots.iloc[:k] if k else None, name) for k in (0, 5, 10, 20, 40)}
    for k in (0, 10):
        print(f"  {k} shots")
        if "others" in asked.parts: others(lm, texts[k], choices, sample(texts[k], asked.slow_items))
        if "bound" in asked.parts: bound(lm, texts[k], choices)
    if "shots" in asked.parts:
        each = {k: clock(partial(score, lm, texts[k], choices))[0] / len(items) for k in texts}
        print("  seconds an item by shots: " + ", ".join(f"{k}: {s:.3f}" for k, s in each.items()), flush=True)
    if "items" in asked.parts:
        sizes = [n for n in (25, 50, 100, 200) if n <= len(items)]
        whole = {n: clock(partial(score, lm, texts[10][:n], choices[:n]))[0] for n in sizes}
        print("  seconds by items, 10 shots: " + ", ".join(f"{n}: {s:.1f}" for n, s in whole.items()), flush=True)


def main():
    asked = arguments()
    if not os.environ.get("E2H_DATA"):
        sys.exit("E2H_DATA names no folder with the ARC files")
    import torch

    from e2h.data import load_items
    from e2h.lm import LM
    torch.set_num_threads(asked.threads)
    arc = load_items("arc").sample(asked.items + 40, random_state=0)
    for dtype in asked.dtypes.split(","):
        lm = LM.load("smollm2", dtype=dtype)
        score(lm, ["Warm up"], [[" a", " b"]])
        for name in asked.formats.split(","):
            print(f"{dtype}, format {name}", flush=True)
            measure(lm, name, arc.iloc[:40], arc.iloc[40:], asked)


if __name__ == "__main__":
    main()
