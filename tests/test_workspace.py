"""The dashboard that `make workspace` saves, as an object: its panels against real records."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.wandb_server import Server

from degradation import account, cli, records, workspace
from degradation.workspace import Study, study_of

pytest.importorskip("wandb_workspaces", reason="needs the extra `workspace`")

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # wandb_workspaces' own
ROOT = Path(__file__).parents[1]


def spec(study: Study) -> dict[str, Any]:
    """The view as it goes to the server."""
    dumped = workspace.view(study)._to_model().spec.model_dump_json(by_alias=True)
    section: dict[str, Any] = json.loads(dumped)["section"]
    return section


def panels(section: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and configuration of each."""
    for part in section["panelBankConfig"]["sections"]:
        yield from ((panel["viewType"], panel["config"]) for panel in part["panels"])


def logged(experiment: str) -> set[str]:
    """Columns of the committed records, which real runs have left."""
    runs = records.read_study(ROOT / "results" / experiment / "quick")
    return {key for run in runs for row in run.rows for key in row}


@pytest.mark.parametrize(
    "experiment",
    [
        *("depth_sweep", "gradient_flow", "identity_mapping"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("layer_responses", "shattered_gradients", "lesion", "autoencoder")
        ),
    ],
)
def test_each_panel_shows_what_real_runs_have_logged(experiment: str) -> None:
    found, columns = spec(study_of(experiment, "quick", "student")), logged(experiment)
    shown = list(panels(found))
    assert len(shown) >= 5
    for kind, panel in shown:
        if kind == "Scatter Plot":
            assert panel["xAxis"] == "config:model.value.depth"
            assert panel["yAxis"].removeprefix("summary:") in columns
        elif panel.get("useMetricRegex"):
            assert any(re.search(panel["metricRegex"], column) for column in columns)
        else:
            assert set(panel["metrics"]) <= columns != set()
        if kind == "Run History Line Plot":
            assert panel["xAxis"] == "iteration"
            assert (panel["groupAgg"], panel["groupArea"]) == ("mean", "minmax")


def test_the_view_of_the_depth_sweep() -> None:
    found = spec(study_of("depth_sweep", "quick", "student"))
    lines = [panel["metrics"] for kind, panel in panels(found) if kind == "Run History Line Plot"]
    assert lines == [["eval/train_subset_error_pct"], ["test/subset_error_pct"]]
    [runs] = found["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["model.value.kind", "model.value.depth"]
    chosen = {item["key"]["name"]: item["value"] for item in runs["filters"]["filters"]}
    assert chosen == {"experiment": "depth_sweep", "preset": "quick"}
    assert len(set(found["customRunColors"].values())) == 8  # a colour an arm
    assert found["settings"]["xAxis"] == "iteration"


def test_paper_follows_the_whole_test_set_and_other_arms_are_groups_too() -> None:
    lines = [panel for kind, panel in panels(spec(study_of("depth_sweep", "paper")))]
    assert lines[1]["metrics"] == ["test/error_pct"]
    [runs] = spec(study_of("gradient_flow", "quick"))["runSets"]
    assert [key["name"] for key in runs["grouping"]][2:] == ["group"]


def test_the_report_has_plain_above_residual_nets() -> None:
    model = workspace.report(study_of("depth_sweep", "quick", "student"))._to_model()
    blocks = json.loads(model.spec.model_dump_json(by_alias=True))["blocks"]
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    for kind, grid in zip(("plain", "residual"), grids, strict=True):
        [runs] = grid["runSets"]
        chosen = {item["key"]["name"]: item["value"] for item in runs["filters"]["filters"]}
        assert chosen["model.value.kind"] == kind
        assert [key["name"] for key in runs["grouping"]] == ["model.value.depth"]
        shown = grid["panelBankSectionConfig"]["panels"]
        titles = [panel["config"]["chartTitle"] for panel in shown]
        assert titles == ["Training error, %", "Test error, %"]
        assert [panel["layout"]["x"] for panel in shown] == [0, 12]  # side by side


def test_save_without_a_key_is_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert cli.guard(lambda: print(workspace.save("depth_sweep", "quick"))) == 2
    assert capsys.readouterr() == ("", f"error: {account.NO_KEY}\n")
    assert server.requests == []


def test_save_sends_both_to_the_accounts_own_place(server: Server) -> None:
    addresses = workspace.save("depth_sweep", "quick")
    assert len(addresses) == 2
    assert all(address.startswith(f"{server.url}/student/degradation") for address in addresses)
    assert [view["type"] for view in server.views] == ["runs", "project-view"]
    assert {view["entityName"] for view in server.views} == {"student"}
    assert [view["displayName"] for view in server.views] == [
        "depth_sweep, quick: plain and residual",
        "depth_sweep, quick",
    ]
    assert "wandb_workspaces" in sys.modules
