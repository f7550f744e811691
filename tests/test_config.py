"""The protocol's numbers, the checks of a user's values, and names that no two configs share."""

import copy
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf.errors import InterpolationResolutionError
from tests.helpers import composed, make_config

from degradation import cli, config, identity, measured, records
from degradation.analysis import claims, estimands
from degradation.config import Config, ConfigError
from degradation.nets import build_model
from degradation.step import copies_input
from degradation.studies import lookup

BASELINE = make_config(preset="paper")
FLAT = identity.flatten(config.to_dict(BASELINE))

PAPER = {
    "model.width": 16,
    "model.shortcut": "A",
    "model.batch_norm": True,
    "model.bn_group_size": 0,
    "model.activation": "relu",
    "model.order": "post",
    "model.init": "fan_out",
    "data.name": "cifar10",
    "data.split": "full",
    "data.train_images": 0,
    "data.pixels": 32,
    "data.augment": True,
    "optim.lr": 0.1,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
    "schedule.iterations": 64_000,
    "schedule.milestones": [32_000, 48_000],
    "schedule.gamma": 0.1,
    "schedule.warmup": "constant",
    "schedule.warmup_iterations": 400,
    "schedule.warmup_lr": 0.01,
    "schedule.warmup_min_depth": 110,
    "trainer.batch_size": 128,
    "trainer.precision": "tf32",
    "trainer.curve_train_images": 5_000,
    "trainer.curve_test_images": 0,
    "preset": "paper",
}
QUICK = {
    "model.width": 8,
    "data.pixels": 16,
    "data.augment": False,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
    "schedule.warmup": "linear",
    "preset": "quick",
}
"""What DESIGN fixes; how long and on how many images is tuned to a laptop."""


def test_paper_is_the_protocol() -> None:
    assert {key: FLAT[key] for key in PAPER} == PAPER


def test_quick_is_the_protocol_at_a_smaller_scale() -> None:
    flat = identity.flatten(config.to_dict(make_config(preset="quick")))
    assert {key: flat[key] for key in QUICK} == QUICK
    same = ("shortcut", "order", "activation", "init", "batch_norm", "bn_group_size", "kind")
    assert all(flat[f"model.{key}"] == FLAT[f"model.{key}"] for key in same)
    assert flat["schedule.warmup_min_depth"] <= 8  # every arm warms up alike


def test_quick_is_the_default() -> None:
    assert config.from_dict(composed()).preset == "quick"


@pytest.mark.parametrize("name", ["depth_sweep", "depth_sweep_shapes", "paper_depths"])
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_experiments_compose(name: str, preset: str) -> None:
    cfg = config.from_dict(composed(preset, f"+experiment={name}"))
    assert (cfg.experiment, cfg.preset) == (name, preset)
    assert cfg.data.name == ("shapes" if name.endswith("shapes") else "cifar10")
    assert str(config.study_dir(cfg)) == f"outputs/{name}/{preset}"


def test_experiment_files_are_named_as_they_call_themselves() -> None:
    files = list((cli.conf_dir() / "experiment").glob("*.yaml"))
    assert files
    for path in files:
        assert yaml.safe_load(path.read_text())["experiment"] == path.stem


def test_plain_dict_and_back() -> None:
    cfg = make_config("model.depth=34", "data.root=/somewhere", "optim.lr=1e-05")
    assert config.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict(cfg)))) == cfg


BAD = [
    ("model.kind=dense", "plain, residual"),
    ("model.depth=6", "even numbers from 8"),
    ("model.depth=19", "even numbers from 8"),
    ("model.depth=-18", "even numbers from 8"),
    ("model.grown_from=20", "0 or even numbers from 8 to model.depth (18)"),
    ("model.grown_from=7", "0 or even numbers from 8 to model.depth (18)"),
    (
        "model.net=mlp model.grown_from=8",
        "0 but for post-activation ResNets with batch norm, ReLU and shortcut A or B",
    ),
    ("model.width=0", "1 or more"),
    ("model.shortcut=D", "A, B, C"),
    ("model.kind=plain model.shortcut=B", "A for plain nets, which have no shortcut"),
    ("model.batch_norm=false model.bn_group_size=64", "0 without batch norm"),
    ("model.bn_group_size=48", "0 or a divisor of the batch of 128"),
    ("model.bn_group_size=-1", "0 or more"),
    ("model.activation=gelu", "relu, prelu, prelu_shared, linear"),
    ("model.net=vgg", "resnet, mlp, stack, autoencoder"),
    ("model.order=middle", "post, pre"),
    ("model.init=orthogonal", "fan_out, fan_in, xavier, small, torch"),
    ("data.name=imagenet", "cifar10, shapes, mnist, uniform"),
    ("data.name=mnist", "cifar10, shapes for model.net=resnet"),
    ("data.scaling=none", "mean_subtracted, zero_to_one, minus_one_to_one"),
    ("optim.name=lion", "sgd, adam"),
    ("data.split=half", "full, val"),
    ("model.net=mlp data.name=uniform data.pixels=4 data.split=val", "full for data.name=uniform"),
    ("data.train_images=-1", "0 or more"),
    ("data.train_images=50001", "0 to 50000"),
    ("data.pixels=24", "32, 16, 8"),
    ("optim.lr=0", "more than 0"),
    ("optim.lr=-0.1", "more than 0"),
    ("optim.lr=.nan", "more than 0"),
    ("optim.lr=.inf", "more than 0"),
    ("optim.momentum=1", "0 up to, not including, 1"),
    ("optim.momentum=-0.5", "0 or more"),
    ("optim.weight_decay=-1", "0 or more"),
    ("schedule.iterations=0", "1 or more"),
    ("schedule.milestones=[48000,32000]", "positive iterations in ascending order"),
    ("schedule.milestones=[5,5]", "positive iterations in ascending order"),
    ("schedule.milestones=[0]", "positive iterations in ascending order"),
    ("schedule.gamma=0", "more than 0"),
    ("schedule.warmup=cosine", "none, constant, linear"),
    ("schedule.warmup_iterations=-1", "0 or more"),
    ("schedule.warmup_lr=0", "more than 0"),
    ("trainer.batch_size=0", "1 or more"),
    ("trainer.batch_size=50001", "at most the training images"),
    ("trainer.precision=fp16", "fp32, tf32, bf16"),
    ("trainer.record_every=0", "1 or more"),
    ("trainer.eval_every=150", "0 or a multiple of trainer.record_every (100)"),
    ("trainer.full_eval_every=-100", "0 or more"),
    ("trainer.checkpoint_every=50", "0 or a multiple of trainer.record_every (100)"),
    ("trainer.eval_batch_size=0", "1 or more"),
    ("hardware.threads=-1", "0 or more"),
    ("tracking.mode=cloud", "auto, offline, online, off"),
    ("seed=-1", "0 or more"),
    ("seed=4294967296", "less than 2**32"),
    ("experiment=a/b", "letters, digits and underscores"),
    ("preset=..", "letters, digits and underscores"),
]


@pytest.mark.parametrize(("override", "accepted"), BAD, ids=[override for override, _ in BAD])
def test_wrong_values_name_the_key_and_what_is_accepted(override: str, accepted: str) -> None:
    with pytest.raises(ConfigError) as failure:
        make_config(*override.split(), preset="paper")
    key = override.rsplit(maxsplit=1)[-1].partition("=")[0]
    assert re.fullmatch(
        rf"{re.escape(key)}: .*; accepted: {re.escape(accepted)}", str(failure.value)
    )


def test_validation_split_has_fewer_images() -> None:
    with pytest.raises(ConfigError, match=r"data.train_images: 45001; accepted: 0 to 45000"):
        make_config("data.split=val", "data.train_images=45001", preset="paper")


def test_a_block_has_two_places_to_share_a_slope_in_a_resnet_alone() -> None:
    accepted = "relu, prelu, linear for model.net=mlp"
    with pytest.raises(
        ConfigError, match=rf"model.activation: 'prelu_shared'; accepted: {accepted}"
    ):
        make_config("model.net=mlp", "model.activation=prelu_shared", preset="paper")


def test_batch_may_not_exceed_the_images() -> None:
    with pytest.raises(ConfigError, match=r"trainer.batch_size: 128; accepted: at most the train"):
        make_config("data.train_images=100", preset="paper")


@pytest.mark.parametrize("override", [f"model.depth={depth}" for depth in (8, 10, 1202)])
def test_depths_at_the_edge(override: str) -> None:
    assert make_config(override, preset="paper").model.depth % 2 == 0


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "residual-18-s0"),
        (["model.kind=plain", "model.depth=56"], "plain-56-s0"),
        (["model.kind=plain", "model.depth=110", "optim.lr=0.01", "seed=2"], "plain-110-lr0.01-s2"),
        (["optim.lr=1e-5"], "residual-18-lr1e-05-s0"),
        (["data.name=shapes"], "residual-18-datashapes-s0"),
        (["data.augment=false"], "residual-18-augmentfalse-s0"),
        (["schedule.milestones=[5,7]"], "residual-18-milestones5_7-s0"),
        (["schedule.milestones=[]"], "residual-18-milestonesnone-s0"),
        (["model.shortcut=B", "data.split=val"], "residual-18-splitval-shortcutB-s0"),
        (["hardware.device=cpu", "output_root=x", "data.root=y"], "residual-18-s0"),
    ],
)  # fmt: skip
def test_names(overrides: list[str], name: str) -> None:
    cfg = make_config(*overrides, preset="paper")
    assert config.run_name(cfg, BASELINE) == name
    assert config.arm_name(cfg, BASELINE) == name.rpartition("-s")[0]


def test_leaves_of_the_identity_are_told_apart_by_their_last_part() -> None:
    keys = identity.of(config.to_dict(make_config()))
    assert "data.name" in keys
    parts = (key.rpartition(".") for key in keys)
    labels = [group if label == "name" else label for group, _, label in parts]
    assert sorted(set(labels)) == sorted(labels)


def test_what_is_no_part_of_the_identity() -> None:
    everything = identity.flatten(config.to_dict(make_config()))
    left_out = everything.keys() - identity.of(everything).keys()
    assert left_out == {
        "hardware.device", "hardware.threads", "tracking.mode", "tracking.project",
        "tracking.entity", "output_root", "experiment", "preset", "data.root", "hardware.capture",
        "hardware.batch_norm_kernels", "hardware.checkpoint_activations",
        "trainer.checkpoint_every", "trainer.deterministic", "trainer.probes",
        "trainer.probe_every",
    }  # fmt: skip


VALUES: dict[str, list[Any]] = {
    "model.net": ["resnet"],  # the others refuse what only a ResNet has
    "model.kind": ["plain", "residual"],
    "model.depth": [18, 110],
    "model.grown_from": [0],  # its values go with few of the others
    "model.width": [16, 1, 11],
    "model.shortcut": ["A", "B", "C"],
    "model.batch_norm": [True, False],
    "model.bn_group_size": [0, 1, 2],
    "model.activation": ["relu", "prelu", "linear"],
    "model.order": ["post", "pre"],
    "model.init": ["fan_out", "fan_in", "xavier"],
    "data.name": ["cifar10", "shapes"],
    "data.split": ["full", "val"],
    "data.train_images": [0, 1_000],
    "data.pixels": [32, 16],
    "data.scaling": ["mean_subtracted", "zero_to_one"],
    "data.augment": [True, False],
    "optim.name": ["sgd", "adam"],
    "optim.lr": [0.1, 0.01, 1e-05, 1.0],
    "optim.momentum": [0.9, 0.0],
    "optim.weight_decay": [1e-4, 0.0],
    "schedule.iterations": [64_000, 1, 11],
    "schedule.milestones": [[32_000, 48_000], [], [1], [1, 11], [111]],
    "schedule.gamma": [0.1, 0.5],
    "schedule.warmup": ["constant", "none", "linear"],
    "schedule.warmup_iterations": [400, 0],
    "schedule.warmup_lr": [0.01, 1e-3],
    "schedule.warmup_min_depth": [110, 0],
    "trainer.batch_size": [128, 64],
    "trainer.precision": ["fp32", "tf32", "bf16"],
    "trainer.record_every": [100, 50],
    "trainer.eval_every": [1_000, 0],
    "trainer.curve_train_images": [5_000, 100],
    "trainer.curve_test_images": [0, 100],
    "trainer.full_eval_every": [8_000, 0],
    "trainer.eval_batch_size": [1_000, 250],
    "seed": [0, 1, 11],
}


def has_a_meaning(values: dict[str, Any]) -> bool:
    """Plain nets have no shortcut, and nets without batch norm no groups of it."""
    no_shortcut = values["model.kind"] == "residual" or values["model.shortcut"] == "A"
    return no_shortcut and (values["model.batch_norm"] or not values["model.bn_group_size"])


CHOICES = st.fixed_dictionaries(
    {key: st.sampled_from(values) for key, values in VALUES.items()}
).filter(has_a_meaning)


def with_values(values: dict[str, Any]) -> Config:
    cfg = copy.deepcopy(BASELINE)
    for key, value in values.items():
        group, _, leaf = key.rpartition(".")
        setattr(getattr(cfg, group) if group else cfg, leaf, value)
    config.check(cfg)
    return cfg


@settings(max_examples=100)
@given(CHOICES, CHOICES, st.sets(st.sampled_from(sorted(VALUES)), max_size=3))
def test_two_configs_share_a_name_only_if_they_are_the_same(
    one: dict[str, Any], other: dict[str, Any], changed: set[str]
) -> None:
    """Against unrelated configs, and against a close one, in which few fields differ."""
    close = one | {key: other[key] for key in changed}
    for values in filter(has_a_meaning, (other, close)):
        a, b = with_values(one), with_values(values)
        same = one == values
        assert (config.run_name(a, BASELINE) == config.run_name(b, BASELINE)) == same
        assert (config.config_hash(a) == config.config_hash(b)) == same
        assert (identity.differences(config.to_dict(a), config.to_dict(b)) == []) == same


@given(CHOICES)
@settings(max_examples=50)
def test_names_are_good_on_any_file_system(values: dict[str, Any]) -> None:
    name = config.run_name(with_values(values), BASELINE)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)


def test_every_field_of_the_identity_is_varied_above() -> None:
    assert set(VALUES) == set(identity.of(config.to_dict(make_config())))


def test_differences_name_the_keys() -> None:
    ours = config.to_dict(make_config("model.depth=56", "output_root=here"))
    theirs = config.to_dict(make_config("optim.momentum=0.5"))
    expected = ["model.depth: 56 / 18", "optim.momentum: 0.9 / 0.5"]
    assert identity.differences(ours, theirs) == expected


@pytest.mark.parametrize("study", ["depth_sweep", "gradient_flow"])
def test_records_from_before_a_setting_was_added_are_still_the_same_runs(study: str) -> None:
    run_dir = sorted((Path("results") / study / "quick/runs").iterdir())[-1]
    recorded = records.read_config(run_dir)
    summary = records.read_summary(run_dir)
    assert recorded
    assert summary
    assert "net" not in recorded["model"]
    assert config.config_hash(config.from_dict(recorded)) == summary["config_hash"]
    assert identity.differences(config.to_dict(config.from_dict(recorded)), recorded) == []
    assert identity.of(recorded) == identity.of(config.to_dict(config.from_dict(recorded)))


def test_added_settings_are_the_defaults() -> None:
    defaults = identity.flatten(config.to_dict(Config()))
    assert {key: defaults[key] for key in identity.ADDED} == identity.ADDED


def test_hash_is_over_what_is_computed() -> None:
    hashes = {
        config.config_hash(make_config(*overrides))
        for overrides in ((), ("output_root=x",), ("hardware.threads=3",), ("data.root=y",))
    }
    assert len(hashes) == 1
    assert re.fullmatch("[0-9a-f]{8}", hashes.pop())


@pytest.mark.parametrize("axes", [("seed=3", "schedule.milestones=[5],[5,9]"), ("optim=sgd",)])
def test_planned_runs_are_those_that_hydra_composes(axes: tuple[str, ...]) -> None:
    planned = cli.sweep("depth_sweep", "quick", [*axes, "model.depth=8,10", "data.augment=true"])
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        for run in planned.values():
            point = [
                f"model.kind={run.model.kind}",
                f"model.depth={run.model.depth}",
                f"seed={run.seed}",
                f"schedule.milestones={run.schedule.milestones}",
                "data.augment=true",
            ]
            composed = hydra.compose("config", ["+experiment=depth_sweep", "preset=quick", *point])
            assert run == config.from_dict(composed)
    assert {run.model.depth for run in planned.values()} == {8, 10}
    assert {run.seed for run in planned.values()} == ({3} if "seed=3" in axes else {0, 1, 2})


def test_a_list_of_variants_is_planned_as_hydra_composes_it() -> None:
    axes = ["variant=[plain,no_weight_decay]", "model.depth=34", "seed=7"]
    ((name, planned),) = cli.sweep("blocks", "quick", axes).items()
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        composed = hydra.compose("config", ["+experiment=blocks", "preset=quick", *axes])
    assert planned == config.from_dict(composed)
    assert name == "plain-34-weight_decay0.0-s7"
    assert (planned.model.width, planned.optim.lr) == (8, 0.03)  # preset quick's, as before


def test_blocks_changes_one_thing_at_a_time_and_has_no_net_twice() -> None:
    runs = cli.sweep("blocks", "quick")
    assert len(runs) == 2 * (2 * 6 + 2) * 3  # depths, kinds, variants, shortcuts of one kind, seeds
    for name, run in runs.items():
        base = config.to_dict(runs[f"{run.model.kind}-{run.model.depth}-s{run.seed}"])
        assert len(identity.differences(config.to_dict(run), base)) == name.count("-") - 2 <= 1
        assert run.model.shortcut == "A" or run.model.kind == "residual"


def test_more_iterations_stretches_the_presets_schedule_and_changes_nothing_else() -> None:
    runs = cli.sweep("more_iterations", "quick")
    assert len(runs) == 3 * 8 * 3  # lengths, arms, seeds
    for run in runs.values():
        base = runs[f"{run.model.kind}-{run.model.depth}-s{run.seed}"]
        times = run.schedule.iterations // base.schedule.iterations
        assert times in {1, 3, 10}
        schedule = replace(
            base.schedule,
            iterations=times * base.schedule.iterations,
            milestones=[times * milestone for milestone in base.schedule.milestones],
        )
        assert run == replace(base, schedule=schedule)
    longest = runs["plain-18-iterations3400-milestones2380-s0"]
    same = cli.sweep("first_falls", "quick")["plain-18-s0"]
    assert not identity.differences(config.to_dict(same), config.to_dict(longest))


@pytest.fixture
def with_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """conf/ with a table of rates for two arms of preset quick."""
    shutil.copytree(cli.conf_dir(), tmp_path / "conf")
    table = {"quick": {"plain-18": 0.1, "residual-56": 0.003}}
    (tmp_path / "conf" / "chosen_lr.yaml").write_text(yaml.safe_dump(table))
    monkeypatch.setattr(cli, "conf_dir", lambda: tmp_path / "conf")


@pytest.mark.usefixtures("with_rates")
def test_a_rate_from_the_table_is_the_arms_own_and_not_in_its_name() -> None:
    for kind, depth, lr in (("plain", 18, 0.1), ("residual", 56, 0.003)):
        axes = [f"model.kind={kind}", f"model.depth={depth}", "seed=0"]
        ((name, run),) = cli.sweep("lr_fair", "quick", axes).items()
        assert (name, run.optim.lr) == (f"{kind}-{depth}-s0", lr)
        with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
            assert config.run_name(run, cli.baseline(run)) == name
        ((name, run),) = cli.sweep("lr_fair", "quick", [*axes, "optim.lr=0.5"]).items()
        assert (name, run.optim.lr) == (f"{kind}-{depth}-lr0.5-s0", 0.5)


@pytest.mark.usefixtures("with_rates")
@pytest.mark.parametrize("where", [("paper", "plain", 18), ("quick", "plain", 56)])
def test_an_arm_without_a_rate_in_the_table_is_one_line(where: tuple[str, str, int]) -> None:
    preset, kind, depth = where
    with pytest.raises(InterpolationResolutionError) as failure:
        cli.sweep("lr_fair", preset, [f"model.kind={kind}", f"model.depth={depth}", "seed=0"])
    told = cli.one_line(failure.value)
    assert re.fullmatch(
        rf"optim.lr: .*chosen_lr.yaml: nothing for {preset} {kind}-{depth}; .*", told
    )


@pytest.mark.parametrize("override", ["order=pre", "shortcut=B", "batch_norm=false"])
def test_what_only_a_resnet_has_is_refused_for_other_nets(override: str) -> None:
    key = override.partition("=")[0]
    line = rf"model.{key}: .* for model.net=mlp, where it has no meaning"
    with pytest.raises(ConfigError, match=line):
        make_config("model.net=mlp", f"model.{override}")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schedule.milestones", [{"a": 1}], r"schedule.milestones: \[{'a': 1}\]; accepted: a list"),
        (
            "trainer.probes",
            [["gradients"]],
            r"trainer.probes: \[\['gradients'\]\]; accepted: a list",
        ),
        (
            "tracking.project",
            "${oc.env:HOME}",
            r"tracking.project: '\${oc.env:HOME}'; accepted: a v",
        ),
        ("tracking.project", "a\udcff", r"tracking.project: 'a\\udcff'; accepted: text"),
        ("tracking.entity", "\x1b[2J", r"tracking.entity: '\\x1b\[2J'; accepted: text"),
        ("trainer.probes", ["${seed}"], "trainer.probes: .*accepted: a value, no reference"),
    ],
)
def test_the_record_of_a_run_holds_values(key: str, value: object, message: str) -> None:
    recorded = config.to_dict(BASELINE)
    group, _, leaf = key.partition(".")
    recorded[group][leaf] = value
    with pytest.raises(ConfigError, match=message):
        config.from_dict(recorded)


def test_what_the_analysis_knows_without_the_config_is_what_the_config_says() -> None:
    """It imports neither the config nor what trains."""
    assert tuple(config.DATA_SETS) == claims.DATA_SETS
    assert claims.PRESETS == ("quick", "paper")
    assert {path.stem for path in (cli.conf_dir() / "preset").glob("*.yaml")} == set(claims.PRESETS)
    assert estimands.KINDS == config.KINDS
    assert lookup.ADHOC == claims.NO_EXPERIMENT == Config().experiment


@pytest.mark.parametrize("net", config.NETS)
def test_a_net_without_errors_is_one_that_copies_its_input(net: str) -> None:
    data, depth, pixels = ("mnist", 4, 28) if net == "autoencoder" else ("cifar10", 8, 16)
    changes = (f"model.depth={depth}", f"data.name={data}", f"data.pixels={pixels}")
    cfg = make_config(f"model.net={net}", *changes)
    copies = copies_input(build_model(cfg.model, config.image_shape(cfg.data)))
    assert (measured.measure(config.to_dict(cfg)) == measured.LOSS) == copies


def test_what_older_records_lack_is_what_they_were_made_with() -> None:
    """Keys that came later count in the identity only where they differ from that."""
    defaults = identity.flatten(config.to_dict(make_config()))
    assert {key: defaults[key] for key in identity.ADDED} == identity.ADDED
