"""Training with packed choices against one row a choice: `python benchmarks/qlora.py --help`.

The same items, loss and adapters three ways: choices packed behind their question (e2h), one row a choice by itself, and
one padded batch a question, as trainers commonly do. What is timed is forward and backward; a token is one of a plain row.
"""
import argparse
import time

import torch

from e2h.data import load_items
from e2h.lm import LM
from e2h.qlora import QLoRA, adapter, batch_loss, training_rows


def padded_loss(lm, rows, gold):
    "Multiple-choice loss with one padded batch a question, by the model's own forward pass."
    total = 0.
    for item, g in zip(rows, gold):
        longest = max(len(row.tokens) for row in item)
        ids = torch.tensor([row.tokens + [0] * (longest - len(row.tokens)) for row in item])
        mask = torch.tensor([[1] * len(row.tokens) + [0] * (longest - len(row.tokens)) for row in item])
        logp = lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        each = logp.gather(-1, ids[:, 1:, None])[..., 0]
        sums = torch.stack([e[row.start - 1:len(row.tokens) - 1].sum() for e, row in zip(each, item)])
        loss = -sums.log_softmax(0)[g] / len(rows)
        loss.backward()
        total += loss.item()
    return total


def measure(lm, rows, gold, way):
    "Seconds, loss and gradients of one batch."
    with adapter(lm, QLoRA(dropout=0.), seed=1) as model:
        model.train()
        for name, weight in model.named_parameters():
            if "lora_B" in name: torch.nn.init.normal_(weight, std=.02, generator=torch.Generator().manual_seed(len(name)))
        start = time.perf_counter()
        loss = padded_loss(lm, rows, gold) if way == "padded" else batch_loss(lm, rows, gold, way == "packed")
        seconds = time.perf_counter() - start
        return seconds, loss, torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--dataset", default="worldquiz", help="worldquiz, or arc and others where E2H_DATA has them")
    parser.add_argument("--format", default="paper", help="prompt format")
    parser.add_argument("--items", type=int, default=16, help="items of the batch")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many")
    asked = parser.parse_args()
    lm = LM.load("smollm2", dtype="float32")
    items = load_items(asked.dataset).sample(asked.items, random_state=0)
    rows, gold = training_rows(QLoRA(format=asked.format), lm, items), items["answer"].tolist()
    tokens = sum(len(row.tokens) for item in rows for row in item)
    threads = torch.get_num_threads()
    print(f"{asked.dataset}, {asked.format}: {asked.items} items, {tokens} tokens in plain rows, {threads} threads")
    found = {way: min((measure(lm, rows, gold, way) for _ in range(asked.repeats)), key=lambda r: r[0])
             for way in ("packed", "padded", "plain")}
    for way, (seconds, loss, grads) in found.items():
        off = (grads - found["plain"][2]).abs().max() / found["plain"][2].abs().max()
        print(f"{way:8} {tokens / seconds:8.0f} tokens/s   {found['plain'][0] / seconds:5.2f} x   loss {loss:.5f}   "
              f"largest difference of a gradient {off:.0e} of the largest")


if __name__ == "__main__": main()
