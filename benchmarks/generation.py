"""Seconds a question takes to answer with eight worked examples: `E2H_DATA=FOLDER python benchmarks/generation.py --help`.

Against `model.generate` on full rows, greedy, left-padded batches, once with the same stops and once to the limit, which
is what the original system does. Same weights, prompts and threads, in one run.
"""
import argparse
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--dtype", default="float32", help="number format of the model")
    parser.add_argument("--items", type=int, default=16, help="GSM8k questions")
    parser.add_argument("--batch", type=int, default=8, help="rows of a batch for model.generate")
    parser.add_argument("--limit", type=int, default=120, help="most tokens to write")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    return parser.parse_args()


def by_transformers(lm, prompts, asked, stops):
    "Continuations by `model.generate` on full rows."
    import torch

    from e2h.generation import end_of_answer
    lm.tokenizer.padding_side = "left"
    texts = []
    for at in range(0, len(prompts), asked.batch):
        rows = lm.tokenizer(prompts[at:at + asked.batch], return_tensors="pt", padding=True)
        width = rows["input_ids"].shape[1]

        def stop(ids, scores, width=width, **_):
            written = lm.tokenizer.batch_decode(ids[:, width:])
            return torch.tensor([stops and end_of_answer(text) is not None for text in written])

        out = lm.model.generate(**rows, do_sample=False, max_new_tokens=asked.limit, stopping_criteria=[stop],
                                pad_token_id=lm.tokenizer.pad_token_id)
        texts += lm.tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
    return [text[:end_of_answer(text)] for text in texts]


def main():
    asked = arguments()
    if not os.environ.get("E2H_DATA"):
        sys.exit("E2H_DATA names no folder with the GSM8k files")
    import torch

    from e2h.data import load_items
    from e2h.generation import generate
    from e2h.lm import LM
    torch.set_num_threads(asked.threads)
    lm = LM.load("smollm2", dtype=asked.dtype)
    drawn = load_items("gsm8k").sample(asked.items + 8, random_state=0)
    texts = [f"Q: {q}\nA: {r} So the answer is {c[0]}\n\n" for q, r, c in zip(drawn["question"], drawn["rationale"],
                                                                              drawn["choices"], strict=True)]
    prompts = ["".join(texts[:8]) + f"Q: {question}\nA:" for question in drawn["question"].iloc[8:]]
    ways = {"e2h": lambda: generate(lm, prompts, asked.limit),
            "model.generate, same stops": lambda: by_transformers(lm, prompts, asked, True),
            "model.generate, to the limit": lambda: by_transformers(lm, prompts, asked, False)}
    first = None
    for name, way in ways.items():
        start = time.perf_counter()
        found = way()
        seconds = (time.perf_counter() - start) / len(prompts)
        first = first or (seconds, found)
        same = sum(a == b for a, b in zip(found, first[1], strict=True))
        print(f"{name:30} {seconds:6.2f} s a question  {seconds / first[0]:5.1f} x  {same} of {len(found)} texts the same",
              flush=True)


if __name__ == "__main__":
    main()
