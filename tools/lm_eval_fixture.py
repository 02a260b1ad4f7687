"""The logs in tests/fixtures/lm_eval: runs of lm-evaluation-harness on World Quiz, as its own command writes them.

    python tools/lm_eval_fixture.py

Tests 36 hard questions with no shots, and with 3 shots drawn from easy or from hard questions of other clusters.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from e2h.data import load_items
from e2h.hardness import item_levels
from e2h.lm import gguf_folder, smollm2_gguf
from e2h.splits import draw_split

OUT = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "lm_eval"
RUNS = {"zeroshot": ("easy", 0, 0)} | {f"{level}-{seed}": (level, 3, seed) for level in ("easy", "hard") for seed in (0, 1)}
FIELDS = ["item_id", "question", "choices", "answer", "level", "value", "cluster"]
HOST = ["pretty_env_info", "git_hash", "upper_git_hash"]  # of the machine: not for the repository


def write_task(folder, train_on):
    "The task file: hard questions to test, a pool of `train_on` questions for the shots."
    items = load_items("worldquiz").dropna(subset="fame").reset_index(drop=True)
    items = items.assign(level=item_levels(items, "fame").astype(str), value=items["fame"])
    split = draw_split(items, items["level"], train_on, n_train=100, n_test=360, seed=0)
    docs = items.set_index("item_id", drop=False)
    tested = docs.loc[split.test_ids].query("level == 'hard'").sample(36, random_state=0)
    for name, some in {"test": tested, train_on: docs.loc[split.train_ids]}.items():
        some[FIELDS].to_json(folder / f"{name}.jsonl", orient="records", lines=True, force_ascii=False)
    task = dict(task="worldquiz", dataset_path="json", output_type="multiple_choice", test_split="test",
                fewshot_split="train", doc_to_text="Question: {{question}}\nAnswer:", doc_to_choice="{{choices}}",
                doc_to_target="{{answer}}", metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}],
                dataset_kwargs={"data_files": {"test": "test.jsonl", "train": f"{train_on}.jsonl"}, "cache_dir": "cache"})
    (folder / f"{train_on}.yaml").write_text(json.dumps(task, indent=1), encoding="utf-8")  # JSON is YAML


def main():
    "Run and keep."
    with tempfile.TemporaryDirectory() as tmp:
        (Path(tmp) / "SmolLM2-135M-Instruct").symlink_to(gguf_folder(smollm2_gguf()))  # a name instead of a path
        for name, (train_on, shots, seed) in RUNS.items():
            write_task(Path(tmp), train_on)
            command = f"""-m lm_eval run --model hf --model_args pretrained=SmolLM2-135M-Instruct,dtype=float32 --device cpu
                --tasks {train_on}.yaml --num_fewshot {shots} --seed {seed} --log_samples --output_path {name}"""
            subprocess.run([sys.executable, *command.split()], cwd=tmp, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=True)
            shutil.rmtree(OUT / name, ignore_errors=True)
            shutil.copytree(Path(tmp) / name / "SmolLM2-135M-Instruct", OUT / name)
            [results] = (OUT / name).glob("results_*.json")
            kept = {k: v for k, v in json.loads(results.read_text("utf-8")).items() if k not in HOST}
            results.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
