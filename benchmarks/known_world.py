"""How long pretraining on the known world takes, for each size: `python benchmarks/known_world.py` (2 minutes on 2 cores).

Times a few steps of each size and multiplies; `--whole SIZE` runs one pretraining of the page's smallest world to its end.
"""
import argparse
import tempfile
import time
from pathlib import Path

import torch

from e2h.known_world import BATCH, LENGTH, PEAK_RATES, SIZES, corpus, make_world, new_model, pack_texts, pretrain, \
    train_step, word_tokenizer
from e2h.lm import best_dtype


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--whole", choices=SIZES, help="run one pretraining instead, of 200 held and 100 shown people")
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {best_dtype('cpu')}")
    if args.whole:
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            pretrain(make_world(held=200, shown=100), Path(folder) / "m", args.whole, epochs=6)
        return print(f"{args.whole}, smallest world, 6 epochs: {time.time() - start:.0f} s")
    world = make_world()
    tokenizer = word_tokenizer(world)
    rows = pack_texts(corpus(world, (1, 2, 3), 0), tokenizer)
    steps = 6 * len(rows) // BATCH
    print(f"clear world of 1,200 people, all hops practised, 6 epochs: {steps:,} steps, {steps * BATCH * LENGTH:,} tokens")
    for size in SIZES:
        model = new_model(size, tokenizer, 0).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATES[size])
        for step in range(22):
            if step == 2: start = time.time()
            train_step(model, optimiser, rows[step * BATCH:(step + 1) * BATCH], tokenizer.eos_token_id)
        each = (time.time() - start) / 20
        print(f"{size:>5}: {model.num_parameters():10,} parameters, {BATCH * LENGTH / each:7,.0f} tokens/s, "
              f"{steps * each / 60:5.1f} min in all")


if __name__ == "__main__":
    main()
