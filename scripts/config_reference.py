"""Write the README's configuration reference from the schema and the presets (`make reference`)."""

import ast
import inspect
from pathlib import Path

import hydra

from degradation import cli, config, identity

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- reference -->\n", "<!-- /reference -->\n"


def meanings() -> dict[str, str]:
    """Key -> the text under the field in config.py."""
    classes = {
        node.name: node
        for node in ast.parse(inspect.getsource(config)).body
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


def table() -> str:
    """Markdown: key, value in each preset, meaning."""
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        presets = [hydra.compose("config", [f"preset={name}"]) for name in ("quick", "paper")]
    quick, paper = (identity.flatten(config.to_dict(config.from_dict(p))) for p in presets)
    lines = ["| key | `quick` | `paper` | |", "|---|---|---|---|"]
    for key, meaning in meanings().items():
        values = [str(preset[key]).replace("None", "null") for preset in (quick, paper)]
        lines.append(f"| `{key}` | {values[0]} | {values[1]} | {meaning} |")
    return "\n".join(lines) + "\n"


def with_reference(readme: str) -> str:
    head, _, rest = readme.partition(START)
    return head + START + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(with_reference(README.read_text()))
