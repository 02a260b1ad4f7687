"""The runs behind nbs/paper, each into OUT/NAME and packed into nbs/paper/results/NAME.parquet.

    python tools/paper.py runs/paper                 # everything that is missing; stop it and start it again
    python tools/paper.py runs/paper probe_arc       # some of them, by name
    python tools/paper.py runs/7b college --model meta-llama/Llama-2-7b-hf   # with another model

Two processes with different names do not get in each other's way. The data sets have to be there (see `load_items`).
"""
import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from e2h.baselines import AnswerPrior
from e2h.data import load_items
from e2h.hardness import LEVELS, PAPER_MEASURES, answer_texts, item_levels
from e2h.hardness import measure as hardness
from e2h.icl import ICL, ZeroShot
from e2h.lm import LM, LMSource
from e2h.probe import LinearProbe, choose_l2, differences, fit_rows
from e2h.qlora import QLoRA
from e2h.sgr import power
from e2h.splits import Split, draw_split
from e2h.store import atomic, open_store, pack
from e2h.study import Study

RESULTS = Path(__file__).resolve().parents[1] / "nbs" / "paper" / "results"
HEADLINE = {"arc": ["grade", "difficulty", "bloom"], "mmlu_stem5": ["college"], "strategyqa": ["steps"]}
SHOTS = {"arc": 10, "mmlu_stem5": 10, "strategyqa": 8}
FIVE_DRAWS = ("grade", "difficulty")  # measures by which one draw of prompts separated a gap
HALF = {"easy": .5, "hard": .5}
STAGES = {"third grade": 3, "eighth grade": 8, "high school": 10, "college": 13}


def zero_shot(out, lm, name, format):
    "The model without training, in one prompt format."
    measures = ["fame", "hops"] if name == "worldquiz" else PAPER_MEASURES[name]
    Study(load_items(name), lm, measures, [], format=format).run(out)


def say_power(items, measures, seeds, n_test=600):
    "What the hard items can show, before anything is run."
    for measure in measures:
        hard = items[(item_levels(items, measure) == "hard").to_numpy()]
        tested, clusters = min(len(hard) // 2, n_test), hard["cluster"].nunique() / len(hard)
        items_in_all = round(len(hard) * (1 - (1 - tested / len(hard))**seeds))  # tested by some draw
        found = power(items_in_all, .1, seeds, clusters=round(clusters * items_in_all), tested=tested / items_in_all)
        print(f"{items.attrs['dataset']} by {measure}: {tested} hard items a draw, {seeds} draws; smallest gap with 80 % "
              f"power: {100 * found.smallest_gap:.1f} points", flush=True)


def probe(out, lm, name):
    "The linear probe on every level by every measure, with its placebo and what needs no question or no label."
    items, measures = load_items(name), PAPER_MEASURES[name]
    floors = [ZeroShot(), ZeroShot(blind=True), AnswerPrior(), AnswerPrior("position")]
    say_power(items, measures, 10)
    medium = [measure for measure in measures if (item_levels(items, measure) == "medium").any()]
    Study(items, lm, measures, [*floors, LinearProbe()], ["easy", "hard", "all", HALF]).run(out)
    middle = {(measure, seed, "medium", 160): draw_split(items, item_levels(items, measure), "medium", 160, seed=seed)
              for measure in medium for seed in range(5)}  # a measure of two levels has no arm of its own there
    Study(items, lm, measures, [LinearProbe()], arms=middle).run(out)
    ten = [AnswerPrior("position"), LinearProbe(), LinearProbe(labels="random")]  # StrategyQA's ratio depends on five draws
    Study(items, lm, measures, ten, seeds=10).run(out)


def balanced_arms(items, measure, seeds=10):
    "Training sets in which every answer is right 64 times, tested on the items of `draw_split`."
    levels, answers, arms = item_levels(items, measure), answer_texts(items), {}
    for seed in range(seeds):
        test_ids = draw_split(items, levels, "hard", 100, seed=seed).test_ids
        apart = ~items["cluster"].isin(items.loc[items["item_id"].isin(test_ids), "cluster"])
        for level in ("easy", "hard"):
            rng, pool = np.random.default_rng([seed, 13]), items["item_id"][(levels == level).to_numpy() & apart]
            drawn = [rng.permutation(pool[answers[pool.index] == answer])[:64] for answer in sorted(answers.unique())]
            arms[measure, seed, level, len(drawn) * 64] = Split(rng.permutation(np.concatenate(drawn)).tolist(), test_ids)
    return arms


def balanced(out, lm, name, measure):
    "The linear probe on training sets without a more frequent answer."
    items = load_items(name)
    Study(items, lm, measure, [LinearProbe(), LinearProbe(labels="random")], arms=balanced_arms(items, measure)).run(out)


def curves(out, lm, name):
    "The linear probe from 10 items on, and with wrong labels; ten draws where the paper has ten."
    items, measures, probe = load_items(name), HEADLINE[name], [LinearProbe()]
    Study(items, lm, measures, probe, n_train=[10, 20, 40, 80, 160], seeds=10).run(out)
    large = {(measure, seed, level, 320): draw_split(items, item_levels(items, measure), level, 320, seed=seed)
             for measure in {"grade", "bloom"} & set(measures) for seed in range(10) for level in ("easy", "hard")}
    if large: Study(items, lm, measures, probe, arms=large).run(out)  # the other measures have too few hard items
    Study(items, lm, measures, probe, noise=[.05, .1, .2, .3, .4, .6, .7]).run(out)


def in_four_bits(lm):
    "The same model, quantised as adapters are trained on it."
    return LM.load(lm.source.name, quant="nf4")


def icl(out, lm, name, measure, seeds):
    "Prompts with solved questions of every level, with random labels, and with sums in their place."
    items, k = load_items(name), SHOTS[name]
    say_power(items, [measure], seeds)
    there = [level for level in LEVELS if (item_levels(items, measure) == level).any()]
    Study(items, lm, measure, [ICL(k)], [*there, "all"], seeds=1).run(out)
    Study(items, lm, measure, [ICL(k, "random")], seeds=1).run(out)
    Study(items, lm, measure, [ICL(k, "arithmetic")], ["hard"], seeds=1).run(out)
    if seeds == 1: return
    Study(items, lm, measure, [ICL(k)], seeds=seeds).run(out)
    Study(items, lm, measure, [ICL(k, "random")], ["hard"], seeds=seeds).run(out)


def adapters(out, lm, name, measure):
    "One draw of adapters on weights of four bits, with the right labels and with random ones."
    items, lm = load_items(name), in_four_bits(lm)
    say_power(items, [measure], 1)
    for labels in ("gold", "random"):
        Study(items, lm, measure, [QLoRA(labels=labels)], seeds=1).run(out)


def used_items(items, splits):
    "The items that some arm trains on or tests."
    used = {i for split in splits.values() for i in [*split.train_ids, *split.test_ids]}
    return items[items["item_id"].isin(used)].reset_index(drop=True)


def thoughts(out, lm, name, n_test, method, train_on):
    "One draw of chains of thought on some items of each level; adapters on weights of four bits."
    items, methods = load_items(name), [ZeroShot(cot=True), method]
    say_power(items, ["steps"], 1, n_test)
    arms = Study(items, lm, "steps", methods, train_on, n_test=n_test, seeds=1).splits
    if isinstance(method, QLoRA): lm = in_four_bits(lm)
    Study(used_items(items, arms), lm, "steps", methods, arms=arms).run(out)


def readable(out, lm):
    "How many answers in words could be read as a choice or as a number, and how many are right: counts, no text."
    counts = dict(items=("item_id", "size"), readable=("pred", lambda pred: (pred.fillna("") != "").sum()),
                  right=("correct", "sum"))
    names = [name for name in ("qlora_cot_gsm8k", "qlora_cot_strategyqa") if (RESULTS / f"{name}.parquet").exists()]
    found = [open_store(out.parent / name).records("steps") for name in names]
    return pd.concat(found).groupby(["dataset", "method", "train_on", "level"], observed=True).agg(**counts).reset_index()


def school():
    "ARC by grade and MMLU by school, with the years of school that a question is for."
    arc, mmlu = load_items("arc", part="all"), load_items("mmlu_stem5")
    years = [arc["grade"], mmlu["college"].map({0: STAGES["high school"], 1: STAGES["college"]})]
    items = pd.concat([part[["item_id", "question", "choices", "answer", "cluster"]].assign(years=year)
                       for part, year in zip((arc, mmlu), years)], ignore_index=True)
    items.attrs = mmlu.attrs | {"dataset": "arc_and_mmlu_stem5"}
    return items


def school_arms(items, n, seeds=5):
    "Training on one stage of school, tested on half of the college questions."
    splits, is_college = {}, items["years"] == STAGES["college"]
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 10])
        tested = rng.permutation(items.loc[is_college, "cluster"].unique())
        tested = set(tested[:len(tested) // 2])
        held = items["cluster"].isin(tested)
        test_ids = sorted(items.loc[held & is_college, "item_id"])
        for stage, years in STAGES.items():
            pool = items.loc[(items["years"] == years) & ~held, "item_id"]
            splits[None, seed, stage, n] = Split(rng.permutation(pool)[:n].tolist(), test_ids)
    return splits


def college(out, lm):
    "From third grade to college: tested on college questions, trained on four stages of school."
    items = school()
    arms = {n: school_arms(items, n) for n in (160, 10)}
    items = used_items(items, arms[160] | arms[10])
    Study(items, lm, "years", [ZeroShot(), LinearProbe(), LinearProbe(labels="random")], arms=arms[160]).run(out)
    Study(items, lm, "years", [ICL(10)], arms=arms[10]).run(out)
    ends = {key: split for key, split in arms[10].items() if key[2] in ("third grade", "college")}
    Study(items, lm, "years", [ICL(10, "random")], arms=ends).run(out)


def worldquiz(out, lm, what, n):
    "World Quiz by every method: floors, placebos, learning curves, wrong labels, mixtures, order, adapters."
    items, base = load_items("worldquiz"), dict(measure=what, n_train=n, seeds=5)
    shown = [ICL(10, prior=True), ICL(10, "random", prior=True), ICL(10, "arithmetic", prior=True)]
    floors = [ZeroShot(prior=True), ZeroShot(blind=True), AnswerPrior(), AnswerPrior("position")]
    for study in [
            dict(methods=[*floors, *shown, LinearProbe(), LinearProbe(labels="random")]),
            dict(methods=[LinearProbe()], n_train=[m for m in (10, 20, 40, 80, 160) if m <= n]),
            dict(methods=[LinearProbe()], noise=[.05, .1, .2, .4, .6]),
            dict(methods=[ICL(k) for k in (1, 3, 30)]),
            dict(methods=[ICL(10, prior=True)], noise=[.2, .6]),
            dict(methods=[LinearProbe(), ICL(10, prior=True)], train_on=[HALF, "all"]),
            dict(methods=[ICL(10, prior=True)], train_on=[f"easy:0.5+hard:0.5 {way}-first" for way in ("easy", "hard")])]:
        Study(items, lm, **(base | study)).run(out)
    adapters = dict(methods=[QLoRA(), QLoRA(labels="random")], seeds=2)
    Study(items, in_four_bits(lm), **(base | adapters)).run(out)


def precision(out, lm):
    "World Quiz without training, with the weights in other number formats."
    items = load_items("worldquiz")
    few = items.dropna(subset="fame").iloc[::3].reset_index(drop=True)
    few.attrs = dict(items.attrs)
    kinds = ((None, "float32"), (None, "bfloat16"), ("int8", "float32"), ("nf4", "bfloat16"))
    Study(few, [LMSource(lm.source.name, *kind) for kind in kinds], "fame", [], n_train=100).run(out)


def halves(items, seed):
    "A random half of the clusters to test, as a mask of items."
    clusters = np.random.default_rng([seed, 11]).permutation(items["cluster"].unique())
    return items["cluster"].isin(set(clusters[:len(clusters) // 2]))


def bins_of(values, count):
    "Bins of about as many items each, from the easiest on; items of one value stay together."
    if values.nunique() <= count: return values.rank(method="dense").astype(int).to_numpy() - 1
    return pd.qcut(values, count, labels=False, duplicates="drop").to_numpy()


def some_of(items, n, rng):
    "A random draw."
    return items.iloc[rng.permutation(len(items))[:n]].reset_index(drop=True)


def taught(items, teacher):
    "The same items with a teacher's answers for labels."
    said = teacher.predict(items)["pred"]
    return items.assign(answer=[list(choices).index(answer) for choices, answer in zip(items["choices"], said)])


def zero_shot_of(folder, lm, items):
    "Answers without training, from a finished run where there is one."
    if not (folder / "study.json").exists(): return ZeroShot().fit(lm, items[:0], 0).predict(items)
    found = open_store(folder).records(method="zeroshot").drop_duplicates("item_id").set_index("item_id", drop=False)
    return found.loc[items["item_id"], ["item_id", "correct"]].reset_index(drop=True)


def protocols(out, lm, name, what, count, n=48, seeds=5):
    """Three protocols on the same test items: easy and hard training; training on each of several bins of difficulty; and
    a probe that learns from the labels of a weak one, which had ten items."""
    items = load_items(name)
    items = items[hardness(items, what).notna()].reset_index(drop=True)
    values, method = hardness(items, what).astype(float), LinearProbe()
    mixed = values.sample(frac=1, random_state=14).rank(method="first")  # equal values fall to either side by chance
    bins, level = bins_of(values, count), pd.qcut(mixed.reindex(values.index), 3, labels=["easy", "medium", "hard"])
    method.prepare(lm, items)
    zero, frames = zero_shot_of(out.parent / f"probe_{name}", lm, items), []
    for seed in range(seeds):
        tested, rng = halves(items, seed), np.random.default_rng([seed, 12])
        arms = {kind: some_of(items[~tested & (level == kind)], n, rng) for kind in ("easy", "hard")}
        arms |= {f"bin {b}": some_of(items[~tested & (bins == b)], n, rng) for b in sorted(set(bins))}
        teacher = method.fit(lm, some_of(items[~tested], 10, rng), seed)
        arms["taught by weak"] = taught(arms["hard"], teacher)
        asked = items[tested].reset_index(drop=True)
        answers = {arm: method.fit(lm, some, seed).predict(asked) for arm, some in arms.items()}
        answers |= {"weak": teacher.predict(asked), "zero-shot": zero[tested.to_numpy()]}
        frames += [found[["item_id", "correct"]].assign(arm=arm, seed=seed, n_train=len(arms.get(arm, ())))
                   for arm, found in answers.items()]
    about = items[["item_id", "cluster"]].assign(value=values, bin=bins, level=level.astype(str))
    return pd.concat(frames).merge(about, on="item_id").assign(dtype=lm.dtype, model=lm.name)


def answer_codes(out, lm):
    "Which choices of a data set have the same text, as numbers, and which are right; a row a choice, no text."
    frames = []
    for name in ITEMS:
        items = load_items(name)
        texts = items.set_index("item_id")["choices"].explode().astype(str).str.strip().str.lower()
        right = [place == answer for choices, answer in zip(items["choices"], items["answer"])
                 for place in range(len(choices))]
        frames.append(pd.DataFrame(dict(item_id=texts.index, dataset=name, code=pd.factorize(texts)[0], right=right)))
    return pd.concat(frames, ignore_index=True)


def length_features(items):
    "What a rule can know that sees only how long the choices are: [choices, 5] for each item."
    rows = []
    for choices in items["choices"]:
        chars = np.array([len(choice) for choice in choices], float)
        log, spread = np.log(chars + 1), chars - chars.mean()
        columns = [log - log.mean(), spread / 20, spread / (chars.std() + 1e-9), chars == chars.max(), chars == chars.min()]
        rows.append(np.stack(columns, 1).astype(np.float32))
    return rows


def length_rule(out, lm, seeds=10):
    "Trained as the linear probe, on the same items, but on the lengths of the choices alone."
    frames = []
    for name in ("arc", "mmlu_stem5"):
        items = load_items(name)
        levels, x_N = item_levels(items, "answer_chars"), length_features(items)
        places = pd.Series(range(len(items)), index=items["item_id"])
        for seed, level in product(range(seeds), ("easy", "hard")):
            split = draw_split(items, levels, level, 160, seed=seed)
            train, tested = places[split.train_ids].tolist(), places[split.test_ids].tolist()
            d, item = differences([x_N[i] for i in train], items["answer"].to_numpy()[train])
            K = d @ d.T
            w = fit_rows(K, item, choose_l2(K, item, items["cluster"].iloc[train].tolist(), seed))[0] @ d
            scores = [x_N[i] @ w for i in tested]
            best = [score >= score.max() - 1e-6 for score in scores]  # choices of one length share a guess
            right = [top[answer] / top.sum() for top, answer in zip(best, items["answer"].to_numpy()[tested])]
            frames.append(items[["item_id", "cluster"]].iloc[tested].assign(
                level=levels.iloc[tested].astype(str), dataset=name, seed=seed, train_on=level, correct=np.float32(right)))
    return pd.concat(frames, ignore_index=True)


def write(file, table):
    "A small table of numbers and ids."
    names = {column: "category" for column in table.select_dtypes(["object", "string"])}
    with atomic(file) as part: table.astype(names).to_parquet(part, index=False, compression="zstd", compression_level=19)


ITEMS = ("arc", "mmlu_stem5", "strategyqa")
RUNS = {"answer_codes": (answer_codes,), "length_rule": (length_rule,)}
RUNS |= {f"zero_shot_{name}_{format}": (zero_shot, name, format) for name in (*ITEMS, "worldquiz")
        for format in ("cloze", "paper")}
RUNS |= {f"probe_{name}": (probe, name) for name in ITEMS} | {f"curves_{name}": (curves, name) for name in ITEMS}
RUNS |= {"balanced_strategyqa": (balanced, "strategyqa", "steps"), "college": (college,)}
RUNS |= {"protocols_worldquiz": (protocols, "worldquiz", "fame", 10),
         "protocols_arc": (protocols, "arc", "grade", 6),
         "protocols_arc_words": (protocols, "arc", "question_words", 10, 128)}
RUNS |= {"worldquiz_fame": (worldquiz, "fame", 160), "worldquiz_hops": (worldquiz, "hops", 80),
         "worldquiz_precision": (precision,)}
RUNS |= {f"icl_{name}_{measure}": (icl, name, measure, 5 if measure in FIVE_DRAWS else 1)
         for name in ITEMS for measure in HEADLINE[name]}
RUNS |= {f"qlora_{name}_{measure}": (adapters, name, measure) for name in ITEMS for measure in HEADLINE[name]}
RUNS |= {f"{way}_{name}": (thoughts, name, n_test, method, ["easy", "hard"])
         for way, method in (("cot", ICL(8, cot=True)), ("qlora_cot", QLoRA(cot=True)))
         for name, n_test in (("gsm8k", 67), ("strategyqa", 100))}
RUNS["qlora_cot_gsm8k"] = (thoughts, "gsm8k", 67, QLoRA(cot=True), ["easy"])  # one arm, as a demonstration
RUNS |= {"qlora_cot_readable": (readable,)}  # of the runs before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the run folders")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(RUNS)}; by default all")
    parser.add_argument("--model", default="smollm2", help="another one, whose tables go to OUT")
    parser.add_argument("--quant", choices=["nf4", "int8"], help="quantisation of the model (none)")
    args = parser.parse_args()
    unknown = set(args.names) - set(RUNS)
    if unknown: parser.error(f"there is no run {min(unknown)!r}")
    lm = LM.load(args.model, args.quant)
    args.out.mkdir(parents=True, exist_ok=True)
    results = RESULTS if args.model == "smollm2" and not args.quant else args.out
    for name in args.names or RUNS:
        run, *settings = RUNS[name]
        table = run(args.out / name, lm, *settings)
        kept = dict(texts=run in (worldquiz, precision), scores=run not in (probe, balanced, curves, college))
        if table is None: pack(open_store(args.out / name), results / f"{name}.parquet", digits=2, **kept)
        else: write(results / f"{name}.parquet", table)
        print(name, flush=True)


if __name__ == "__main__":
    main()
