"""Write the tables of the README and of docs/: the configuration reference from the schema and the
presets, the speed from results/bench/ (`make reference`).
"""

import argparse
import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import hydra

from degradation import cli, config, identity
from degradation.benchmark import results
from degradation.benchmark.results import Part
from degradation.config import schema

ROOT = Path(__file__).parents[1]
FRONT = ("start", "steps", "study")
"""Parts of the benchmark on a CPU whose targets stand in the README."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def meanings() -> dict[str, str]:
    """Key -> the text under the field in schema.py."""
    classes = {
        node.name: node
        for node in ast.parse(inspect.getsource(schema)).body
        if isinstance(node, ast.ClassDef)
    }

    def below(name: str, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        body = classes[name].body
        for field, text in zip(body, [*body[1:], None], strict=True):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            key, kind = prefix + field.target.id, ast.unparse(field.annotation)
            if kind in classes:
                found |= below(kind, f"{key}.")
            elif isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[key] = " ".join(str(text.value.value).split())
            else:
                found[key] = ""
        return found

    return below("Config", "")


def configuration() -> str:
    """Markdown: key, value in each preset, meaning."""
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        presets = [hydra.compose("config", [f"preset={name}"]) for name in ("quick", "paper")]
    quick, paper = (identity.flatten(config.to_dict(config.from_dict(p))) for p in presets)
    lines = ["| key | `quick` | `paper` | |", "|---|---|---|---|"]
    for key, meaning in meanings().items():
        values = [str(preset[key]).replace("None", "null") for preset in (quick, paper)]
        lines.append(f"| `{key}` | {values[0]} | {values[1]} | {meaning} |")
    return "\n".join(lines) + "\n"


def measured() -> Iterator[tuple[str, str, Part]]:
    """File (`cpu`, `gpu`), part and numbers."""
    for path in sorted((ROOT / "results" / "bench").glob("*.json")):
        for name, part in json.loads(path.read_text()).items():
            yield path.stem, name, part


def targets() -> str:
    """Markdown: what has a target, and whether it is met."""
    lines = ["| | median | target | |", "|---|---|---|---|"]
    for file, name, part in measured():
        rows = results.rows(part) if file == "gpu" or name in FRONT else ()
        lines += [
            f"| {row} | {median} | {target} | {met} |"
            for row, median, _, target, met in rows
            if target
        ]
    return "\n".join(lines) + "\n"


def speed() -> str:
    """Markdown: what was measured, median and range, target; machine and commit below. Of a GPU
    there is too much for a table.
    """
    lines, machines = ["| | median | range | target | |", "|---|---|---|---|---|"], []
    for file, name, part in measured():
        machines.append(results.machine(name, part["environment"]))
        shown = results.headlines(part) if file == "gpu" else part
        lines += [f"| {' | '.join(row)} |" for row in results.rows(shown)]
    return "\n".join([*lines, "", *machines]) + "\n"


def with_tables(page: str) -> str:
    """Between `<!-- name -->` and `<!-- /name -->`, where a page has them, for each table."""
    for table in (configuration, targets, speed):
        start, end = (f"<!-- {slash}{table.__name__} -->\n" for slash in ("", "/"))
        head, found, rest = page.partition(start)
        if found:
            page = head + start + table() + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for path in PAGES:
        path.write_text(with_tables(path.read_text()))
