"""What keysieve-nano can do, on bytes it was never trained on.

Bits per byte: the same blocks of each text's held-out end, scored with contexts of several lengths,
so that the lengths can be compared. Recall: a fact at one of twenty depths of a held-out stretch,
asked for at the end; right when every digit is the likeliest byte given those before it, which is
what greedy decoding checks, in one pass. Attention is dense, weights and activations float32.

    python evaluate.py nano.gguf --json figures.json
"""

import argparse
import json
import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

import data
from export import load_weights
from model import Nano

BLOCK = 512  # bytes scored at the end of each window
CODE_DIGITS = 5


@dataclass(frozen=True)
class BitsPerByte:
    context: int
    bytesScored: int
    mean: float  # over the texts
    perText: dict[str, float]
    minusShortest: float  # mean over blocks of the difference to the shortest context
    minusShortestError: float  # its standard error


@dataclass(frozen=True)
class Recall:
    tokens: int
    otherFacts: int
    trials: int
    right: int
    share: float
    digitsRightShare: float
    rightByDepth: list[float]  # share, from the start of the prompt to its end


def as_tokens(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).long()


def block_ends(length: int, longest: int, blocks: int) -> list[int]:
    """Where blocks end, evenly spread over a text that has `longest` bytes before each end."""
    return [longest + (length - longest) * index // max(1, blocks - 1) for index in range(blocks)]


def block_bits(model: Nano, content: bytes, end: int, context: int) -> float:
    """Bits per byte of the block that ends at `end`. Every byte of it has at least 7/8 of
    `context` bytes before it, and never more than `context`."""
    stride = min(BLOCK, context // 8)
    windows = torch.stack(
        [as_tokens(content[last - context : last]) for last in range(end - BLOCK + stride, end + 1, stride)]
    )  # (BLOCK / stride, context)
    logits = model(windows, last=stride + 1)[:, :-1]
    targets = windows[:, -stride:]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item() / math.log(2)


def measure_bits(
    model: Nano, texts: list[data.Text], contexts: list[int], blocks: int
) -> list[BitsPerByte]:
    bits: dict[int, dict[str, list[float]]] = {context: {} for context in contexts}
    for text in texts:
        ends = block_ends(len(text.held_out), max(contexts), blocks)
        for context in contexts:
            bits[context][text.name] = [
                block_bits(model, text.held_out, end, context) for end in ends
            ]

    results = []
    for context in contexts:
        per_text = {name: sum(values) / len(values) for name, values in bits[context].items()}
        differences = torch.tensor([
            ours - shortest
            for name in per_text
            for ours, shortest in zip(bits[context][name], bits[contexts[0]][name])
        ])  # fmt: skip
        results.append(BitsPerByte(
            context=context,
            bytesScored=len(differences) * BLOCK,
            mean=sum(per_text.values()) / len(per_text),
            perText=per_text,
            minusShortest=differences.mean().item(),
            minusShortestError=(differences.std() / len(differences) ** 0.5).item(),
        ))  # fmt: skip
    return results


def recall_prompt(
    rng: random.Random, texts: list[data.Text], words: list[str], tokens: int, depth: float, others: int
) -> bytes:
    """`tokens` bytes that end with the digits asked for. `depth` is where the fact stands: 0 is the
    start and 1 just before the question."""
    names = rng.sample(words, 2 * (others + 1))
    facts = [
        (" ".join(names[2 * index : 2 * index + 2]), data.digits(rng, CODE_DIGITS))
        for index in range(others + 1)
    ]
    stated = [data.TEMPLATES[0].format(name, code) for name, code in facts]
    question = " " + stated[0][: stated[0].rindex(facts[0][1])] + facts[0][1]
    room = tokens - len(question) - sum(map(len, stated))
    filler = rng.choice([text.held_out for text in texts if len(text.held_out) > room])
    start = rng.randrange(len(filler) - room)
    body = filler[start : start + room]

    def between_words(place: int) -> int:
        return body.rfind(b" ", 0, place) + 1

    places = [between_words(round(depth * room))]
    places += [between_words(rng.randrange(room + 1)) for _ in range(others)]
    pieces, taken = [], 0
    for place, fact in sorted(zip(places, stated)):
        pieces += [body[taken:place], fact.encode()]
        taken = place
    return b"".join([*pieces, body[taken:], question.encode()])


def digits_right(model: Nano, prompt: bytes) -> int:
    tokens = as_tokens(prompt)
    answer = tokens[-CODE_DIGITS:]
    logits = model(tokens[None, :-1], last=CODE_DIGITS)[0]
    return int((logits.argmax(-1) == answer).sum())


def measure_recall(
    model: Nano, texts: list[data.Text], words: list[str], tokens: int, depths: int, seeds: int, others: int
) -> Recall:
    scores = torch.zeros(depths, seeds, dtype=torch.int64)
    for depth in range(depths):
        for seed in range(seeds):
            rng = random.Random(f"recall {tokens} {others} {depth} {seed}")
            prompt = recall_prompt(rng, texts, words, tokens, depth / (depths - 1), others)
            scores[depth, seed] = digits_right(model, prompt)
    right = scores == CODE_DIGITS
    return Recall(
        tokens=tokens,
        otherFacts=others,
        trials=right.numel(),
        right=int(right.sum()),
        share=right.float().mean().item(),
        digitsRightShare=scores.float().mean().item() / CODE_DIGITS,
        rightByDepth=[round(share, 3) for share in right.float().mean(1).tolist()],
    )


def print_bits(results: list[BitsPerByte]) -> None:
    names = list(results[0].perText)
    print(f"| context | mean | {' | '.join(names)} | saved over {results[0].context} |")
    print("|" + "---|" * (len(names) + 3))
    for each in results:
        per_text = " | ".join(f"{each.perText[name]:.3f}" for name in names)
        change = f"{-each.minusShortest:+.4f} +- {each.minusShortestError:.4f}" if each != results[0] else ""
        print(f"| {each.context:,} | {each.mean:.4f} | {per_text} | {change} |")
    print(f"\n{results[0].bytesScored:,} bytes scored, the same at each context\n")


def print_recall(results: list[Recall]) -> None:
    print("| tokens | other facts | right | share | digits right | right by depth, fifths |")
    print("|---|---|---|---|---|---|")
    for each in results:
        fifth = max(1, len(each.rightByDepth) // 5)
        fifths = [each.rightByDepth[at : at + fifth] for at in range(0, len(each.rightByDepth), fifth)]
        by_depth = " ".join(f"{sum(shares) / len(shares):.0%}" for shares in fifths)
        print(
            f"| {each.tokens:,} | {each.otherFacts} | {each.right} of {each.trials} "
            f"| {each.share:.1%} | {each.digitsRightShare:.1%} | {by_depth} |",
            flush=True,
        )


def integers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(":")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="a GGUF file or a checkpoint of train.py")
    parser.add_argument("--texts", type=Path, default=data.TEXTS)
    parser.add_argument("--contexts", type=int, nargs="*", default=[512, 2048, 8192, 16_384])
    parser.add_argument("--blocks", type=int, default=12, help="of 512 bytes, from each text")
    parser.add_argument(
        "--recall", type=integers, nargs="*", metavar="TOKENS:SEEDS:OTHERS",
        default=[(512, 5, 0), (2048, 5, 0), (8192, 3, 0), (16_384, 2, 0), (32_768, 1, 0),
                 (512, 5, 9), (2048, 3, 19), (8192, 2, 19), (16_384, 1, 19)],
        help="prompts of so many tokens, seeds for each depth, and facts that are not asked for",
    )  # fmt: skip
    parser.add_argument("--depths", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    texts = data.read_texts(args.texts)
    words = data.held_out_words(texts)
    model = load_weights(args.weights).eval()
    with torch.inference_mode():
        bits = measure_bits(model, texts, args.contexts, args.blocks) if args.contexts else []
        if bits:
            print_bits(bits)
        recall = [
            measure_recall(model, texts, words, tokens, args.depths, seeds, others)
            for tokens, seeds, others in args.recall
        ]
        if recall:
            print_recall(recall)
    if args.json:
        figures = {"bitsPerByte": [asdict(each) for each in bits], "recall": [asdict(each) for each in recall]}
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
