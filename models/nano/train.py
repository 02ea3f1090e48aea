"""Trains keysieve-nano on a CPU, by hand and in stages of rising context:

    python train.py --plan scratch --out runs/scratch.pt
    python train.py --plan long  --from runs/scratch.pt --out runs/long.pt
    python train.py --plan decay --from runs/long.pt --out runs/decay.pt

Matrices are trained with Muon (momentum, then five Newton-Schulz steps towards an orthogonal
update), everything else with AdamW. Rates follow the step, never the clock. A run that was stopped
goes on with --resume, with the batches it would have seen.
"""

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

import data
from export import load_weights
from model import Nano

MOMENTUM = 0.95
MATRIX_DECAY = 0.01
ADAM_RATE = 0.15  # times Muon's rate
CLIP = 1.0
WARM_UP = 20  # steps


@dataclass(frozen=True)
class Shape:
    """One kind of batch, and how often it is drawn."""

    share: float
    rows: int
    length: int
    span: int | None = None  # positions skip at random and end below it


@dataclass(frozen=True)
class Stage:
    steps: int
    shapes: list[Shape]
    plain_share: float  # of sequences that are a book and nothing else


@dataclass(frozen=True)
class Plan:
    rate: float  # Muon's
    hold: float  # share of the steps before the rate falls, in a line, to `floor` times `rate`
    floor: float
    stages: list[Stage]


PLANS = {
    # What the pilot read after its first 9.8 million bytes of text: its stages in steps.
    "scratch": Plan(rate=0.02, hold=0.5, floor=0.03, stages=[
        Stage(1400, [Shape(1, 22, 384)], 0.5),
        Stage(1000, [Shape(1, 22, 384)], 0.2),
        Stage(650, [Shape(1, 8, 1024)], 0.2),
        Stage(450, [Shape(1, 4, 2048)], 0.2),
        Stage(230, [Shape(1, 2, 4096)], 0.2),
        Stage(120, [Shape(1, 1, 8192)], 0.2),
    ]),
    "long": Plan(rate=0.006, hold=1.0, floor=1.0, stages=[
        Stage(400, [
            Shape(0.25, 4, 2048, span=32_768),
            Shape(0.15, 2, 4096),
            Shape(0.45, 1, 8192),
            Shape(0.15, 1, 16_384),
        ], 0.35),
    ]),
    "decay": Plan(rate=0.006, hold=0.0, floor=0.03, stages=[
        Stage(330, [
            Shape(0.25, 4, 2048, span=32_768),
            Shape(0.50, 1, 8192),
            Shape(0.25, 1, 16_384),
        ], 0.45),
    ]),
}  # fmt: skip


def rate_at(plan: Plan, step: int, steps: int) -> float:
    done = step / steps
    fall = 1.0 if done < plan.hold else max(plan.floor, 1 - (done - plan.hold) / (1 - plan.hold))
    return plan.rate * min(1.0, (step + 1) / WARM_UP) * fall


def stage_at(plan: Plan, step: int) -> Stage:
    for stage in plan.stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    raise ValueError("the plan has ended")


def orthogonalise(gradient: torch.Tensor) -> torch.Tensor:
    """Newton-Schulz towards the nearest matrix with singular values of about 1 (Jordan, 2024)."""
    x = gradient / (gradient.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


class Optimiser:
    """Muon for the matrices of the blocks, AdamW for the embedding and the norms."""

    def __init__(self, model: Nano):
        named = list(model.named_parameters())
        is_matrix = lambda name, rows: rows.ndim == 2 and name.startswith("blocks.")
        self.matrices = [rows for name, rows in named if is_matrix(name, rows)]
        others = [rows for name, rows in named if not is_matrix(name, rows)]
        self.momenta = [torch.zeros_like(rows) for rows in self.matrices]
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for rows, momentum in zip(self.matrices, self.momenta):
            momentum.mul_(MOMENTUM).add_(rows.grad)
            update = orthogonalise(rows.grad + MOMENTUM * momentum)
            scale = max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5
            rows.mul_(1 - rate * MATRIX_DECAY).add_(update, alpha=-rate * scale)
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        self.adam.step()

    def state(self) -> dict:
        return {"momenta": self.momenta, "adam": self.adam.state_dict()}

    def restore(self, state: dict) -> None:
        self.momenta = state["momenta"]
        self.adam.load_state_dict(state["adam"])


def save(path: Path, model: Nano, optimiser: Optimiser, step: int) -> None:
    partial = path.with_suffix(".partial")
    torch.save({"weights": model.state_dict(), "optimiser": optimiser.state(), "step": step}, partial)
    partial.replace(path)


def losses(model: Nano, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Natural-log loss of each next byte, (rows, length), for tokens (rows, length + 1)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(tokens[:, :-1], positions)
    targets = tokens[:, 1:]
    flat = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return flat.view(targets.shape)


class Averages:
    """Running means, by name, printed in the order in which they first came."""

    def __init__(self) -> None:
        self.means: dict[str, float] = {}

    def add(self, name: str, value: float) -> None:
        self.means[name] = 0.95 * self.means.get(name, value) + 0.05 * value

    def __str__(self) -> str:
        return "  ".join(f"{name} {mean:.3f}" for name, mean in sorted(self.means.items()))


def train(args: argparse.Namespace) -> None:
    plan = PLANS[args.plan]
    steps = sum(stage.steps for stage in plan.stages)
    texts = data.read_texts(args.texts)
    words = data.trained_words(texts)

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # sharp attention is full of them: 1.5 times as fast
    model = load_weights(args.source) if args.source else Nano()
    optimiser = Optimiser(model)
    first = 0
    if args.resume and args.out.exists():
        saved = torch.load(args.out, weights_only=True)
        model.load_state_dict(saved["weights"])
        optimiser.restore(saved["optimiser"])
        first = saved["step"]

    averages = Averages()
    began, read = time.monotonic(), 0
    for step in range(first, steps):
        rng = random.Random(f"{args.seed} {args.plan} {step}")
        stage = stage_at(plan, step)
        shape = rng.choices(stage.shapes, [shape.share for shape in stage.shapes])[0]
        tokens, weights = map(torch.from_numpy, data.make_batch(
            rng, texts, words, shape.rows, shape.length, stage.plain_share,
        ))  # fmt: skip
        positions = torch.arange(shape.length)
        if shape.span is not None:
            positions = torch.from_numpy(data.skipping_positions(rng, shape.length, shape.span))

        each = losses(model, tokens, positions)
        weights = weights[:, 1:]
        loss = (each * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step(rate_at(plan, step, steps))
        model.zero_grad(set_to_none=True)

        read += tokens.numel()
        kind = f"{shape.length}{'' if shape.span is None else '~'}"
        averages.add(f"bits@{kind}", each[weights == 1].mean().item() / math.log(2))
        recalled = each[weights == data.DIGIT_WEIGHT]
        if len(recalled):
            averages.add(f"digit-nats@{kind}", recalled.mean().item())
        done = step + 1
        if done % args.log_every == 0 or done == steps:
            seconds = time.monotonic() - began
            print(f"{done}/{steps}  {seconds:.0f} s  {read / 1e6:.2f} MB  {averages}", flush=True)
        if done % args.save_every == 0 or done == steps:
            save(args.out, model, optimiser, done)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", choices=PLANS, required=True)
    parser.add_argument("--from", dest="source", type=Path, help="a checkpoint or a GGUF file")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--resume", action="store_true", help="go on from --out if it exists")
    parser.add_argument("--texts", type=Path, default=data.TEXTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--save-every", type=int, default=50)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
