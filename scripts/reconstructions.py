"""Draw what trained autoencoders make of test digits: `make reconstructions`."""

import argparse
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from degradation import begin, cli, probing
from degradation.data.batches import clean
from degradation.records import RecordError, run_dirs

DIGITS = 10


@torch.no_grad()
def main(study: Path, target: Path, data_root: str) -> None:
    runs = [path for path in run_dirs(study) if path.name.endswith("-s0")]
    if not runs:
        raise RecordError(f"{study}: no runs of seed 0; first make evidence EXPERIMENT=autoencoder")
    rows: list[tuple[str, torch.Tensor]] = []
    for run in runs:
        cfg, state = probing.trained(run)
        cfg.data.root = data_root or None
        data = begin.load_data(cfg.data, torch.device("cpu"))
        images = clean(data, data.test.images[:DIGITS])  # (10, 1, 28, 28)
        span = f"in [{'-1' if data.scale == 2 else '0'}, 1]"
        output = state.model.eval()(images)
        rows += [(f"input {span}", images), (f"{cfg.model.kind} {span}", output)]
    rows = list(dict(rows).items())  # each input once
    figure = Figure(figsize=(DIGITS * 0.8 + 1.8, len(rows) * 0.8 + 0.5), layout="constrained")
    panels = figure.subplots(len(rows), DIGITS)
    for (label, images), line in zip(rows, panels, strict=True):
        low = -1 if "[-1" in label else 0
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image[0], cmap="gray", vmin=low, vmax=1)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle("Test digits after one epoch, seed 0; black to white is the inputs' range")
    figure.savefig(target, dpi=120, metadata={"Software": None})
    print(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=Path("outputs/autoencoder/quick"))
    parser.add_argument("--target", default="results/autoencoder/quick/reconstructions.png")
    parser.add_argument("--data-root", default="", help="folder that holds MNIST/raw/")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.study, Path(options.target), options.data_root)))
