"""Costs of labels: interpolation between runs, differences with known answers; memory of models that are not there."""
import numpy as np
import pandas as pd
import pytest

from e2h.costs import PRESETS, Labels, break_even, compare_costs, plot_break_even
from e2h.lm import memory_plan, skeleton
from e2h.plots import plot_curve
from e2h.sgr import difference, to_matrix


def records(sizes=(20, 40, 160), rates=(.1, .4), n_items=300, seeds=4):
    "Answers of a method at several sizes and noise rates: hard labels teach more, noise hurts in proportion."
    rng, rows = np.random.default_rng(5), []
    for arm, gain in (("easy", .1), ("hard", .2)):
        for n, noise in [(n, 0.) for n in sizes] + [(max(sizes), rate) for rate in rates]:
            chance = .3 + gain * np.log2(n / 10) * (1 - noise) / 2
            for seed in range(seeds):
                rows.append(pd.DataFrame(dict(
                    item_id=[f"q{k}" for k in range(n_items)], method="probe", train_on=arm, seed=seed, level="hard",
                    n_train=n, noise=noise, correct=rng.random(n_items) < chance)))
    return pd.concat(rows, ignore_index=True).astype({"correct": int})


@pytest.fixture(scope="module")
def world(): return records()


def arm(world, train_on, n, noise=0.):
    return to_matrix(world[(world["train_on"] == train_on) & (world["n_train"] == n) & (world["noise"] == noise)])


def test_at_sizes_that_were_run_it_is_the_plain_difference(world):
    found = compare_costs(world, 160, Labels(4.))
    plain = difference(arm(world, "easy", 160), arm(world, "hard", 40))
    assert (found["n_easy"], found["n_hard"]) == (160, 40)
    assert [found[k] for k in ("difference", "low", "high", "p")] == pytest.approx(
        [plain.point, plain.low, plain.high, plain.p], abs=1e-9)


def test_between_sizes_it_is_a_straight_line_in_the_logarithm(world):
    found = compare_costs(world, 160, Labels(2.))  # 80 hard labels lie in the middle of 40 and 160
    middle = (arm(world, "hard", 40).to_numpy().mean() + arm(world, "hard", 160).to_numpy().mean()) / 2
    assert found["hard"] == pytest.approx(middle)


def test_noise_takes_off_what_it_took_off_where_it_was_run(world):
    found = compare_costs(world, 160, Labels(4., .1, .4))
    loss = {a: arm(world, a, 160).to_numpy().mean() - arm(world, a, 160, rate).to_numpy().mean()
            for a, rate in (("easy", .1), ("hard", .4))}
    assert found["easy"] == pytest.approx(arm(world, "easy", 160).to_numpy().mean() - loss["easy"])
    assert found["hard"] == pytest.approx(arm(world, "hard", 40).to_numpy().mean() - loss["hard"])


def test_the_winner_follows_price_and_error(world):
    table = break_even(world, 160, [1, 2, 4, 8], [0., .2, .4])
    assert len(table) == 12 and set(table["winner"]) <= {"easy", "hard", "not separated"}
    assert table.set_index(["cost", "hard_error"]).loc[(1, 0), "winner"] == "hard"
    for _, rows in table.groupby("hard_error"): assert rows["difference"].is_monotonic_increasing
    for _, rows in table.groupby("cost"): assert rows["difference"].is_monotonic_increasing
    assert len(plot_break_even(table).lines) >= 3
    clean, paper = (compare_costs(world.assign(noise=world["noise"]), 160, name) for name in ("clean", "paper"))
    assert clean["winner"] == "hard" and paper["difference"] > clean["difference"]


@pytest.mark.parametrize("budget, labels, sentence", [
    (10, Labels(1.), "a training size (easy) of 10 was not reached: the study ran 20, 40, 160"),
    (160, Labels(20.), "a training size (hard) of 8 was not reached"),
    (160, Labels(1., 0., .9), "a noise (hard) of 0.9 was not reached: the study ran 0, 0.1, 0.4"),
    (160, "cheap", "there is no preset 'cheap'")])
def test_what_was_not_run(world, budget, labels, sentence):
    with pytest.raises((ValueError, KeyError)) as caught: compare_costs(world, budget, labels)
    assert sentence in str(caught.value)


def test_curves_of_two_methods_are_not_mixed(world):
    both = pd.concat([world, world.assign(method="icl")])  # with an index that repeats, as concat leaves it
    with pytest.raises(ValueError, match="several values of method, probe, icl: keep one"): compare_costs(both, 160, "clean")
    assert compare_costs(pd.concat([world, world.iloc[:0]]), 160, "clean") == compare_costs(world, 160, "clean")
    halves = pd.concat([world[world["train_on"] == a] .reset_index(drop=True) for a in ("easy", "hard")])
    assert compare_costs(halves, 160, "paper") == compare_costs(world, 160, "paper")


def test_noise_at_a_size_that_was_not_run_clean(world):
    odd = world[(world["n_train"] != 160) | (world["noise"] > 0)]
    with pytest.raises(ValueError, match="trained on noise and without at one size"):
        compare_costs(odd, 40, Labels(1., 0., .1))


def test_noise_without_noisy_runs(world):
    with pytest.raises(ValueError, match="no hard arm was trained on noise"):
        compare_costs(world[world["noise"] == 0], 160, Labels(1., 0., .1))
    assert set(PRESETS) >= {"paper", "clean"} and PRESETS["paper"] == Labels(2., .05, .1)


def test_curves_are_drawn(world):
    figure = plot_curve(world)
    drawn = {line.get_label(): line for line in figure.axes[0].containers}
    assert set(drawn) == {"trained on easy", "trained on hard"}
    xs, ys = drawn["trained on hard"].lines[0].get_data()
    assert list(xs) == [20, 40, 160]
    assert list(ys) == pytest.approx([100 * arm(world, "hard", n).to_numpy().mean() for n in xs])
    noise = plot_curve(world, "noise").axes[0].containers[0].lines[0].get_xdata()
    assert list(noise) == [0, .1, .4]


def test_models_that_are_not_there():
    "Parameters as published; a 4-bit plan that agrees with what bitsandbytes makes of the embedded model."
    pytest.importorskip("transformers")
    published = {"meta-llama/Llama-2-7b-chat-hf": 6_738_415_616, "meta-llama/Llama-2-70b-chat-hf": 68_976_648_192,
                 "huggyllama/llama-7b": 6_738_415_616, "mosaicml/mpt-7b": 6_649_286_656, "tiiuae/falcon-7b": 6_921_720_704}
    models = {name: skeleton(name) for name in published}
    assert {name: model.num_parameters() for name, model in models.items()} == published
    assert skeleton("Qwen-72B").num_parameters() == pytest.approx(72.3e9, rel=.01)
    for model in models.values():
        table = memory_plan(model)
        assert table["weights_GB"].is_monotonic_decreasing and next(model.parameters()).device.type == "meta"
        assert (table["adapters_GB"] > 0).all()
    assert memory_plan(models["meta-llama/Llama-2-70b-chat-hf"]).loc["bfloat16", "cache_GB"] == pytest.approx(.32768)
    with pytest.raises(OSError): skeleton("no/model-of-that-name")


def test_a_model_without_keys_and_values(tiny):
    with pytest.raises(ValueError, match="a mamba model remembers no keys and values"): memory_plan(tiny("mamba").model)
