"""A report needs records alone: no torch, no wandb, no training code; and what only a page needs is
loaded when one is written.
"""

import subprocess
import sys
from pathlib import Path

import degradation.analysis


def test_analysis_imports_neither_torch_nor_wandb() -> None:
    folder = Path(degradation.analysis.__file__).parent
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("[a-z]*.py"))]
    names = [".".join(("degradation.analysis", *path.with_suffix("").parts)) for path in paths]
    assert "degradation.analysis.page.study" in names
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
loaded = {{name.split(".")[0] for name in sys.modules}}
unwanted = loaded & {{"torch", "torchvision", "wandb", "hydra", "plotly", "jinja2", "markdown_it"}}
ours = {{name for name in sys.modules if name.startswith("degradation.")}}
others = {{name for name in ours if not name.startswith("degradation.analysis")}}
print(sorted(unwanted), sorted(others))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "[] ['degradation.identity', 'degradation.measured', "
        "'degradation.plain', 'degradation.records']"
    )
