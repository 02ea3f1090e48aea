"""Records what keysieve-nano answers, for testing other implementations of the forward pass:

    python goldens.py nano.gguf goldens.json

For a few prompts of bytes, the float32 logits of the last positions, from the weights exactly as
they stand in the GGUF file. `float32Error` is how far those are from the same sums in float64:
another float32 implementation may be about as far, so allow it a small multiple.
"""

import argparse
import hashlib
import json
import random
from pathlib import Path

import torch

import data
from evaluate import as_tokens, recall_prompt
from export import load_gguf
from model import Nano

POSITIONS = 6  # of each prompt's end


def prompts(texts: list[data.Text], words: list[str]) -> dict[str, bytes]:
    held_out = {text.name: text.held_out for text in texts}
    recall = recall_prompt(random.Random("golden"), texts, words, tokens=600, depth=0.25, others=2)
    return {
        "verse": held_out["tinyshakespeare"][1000:1064],
        "prose": held_out["middlemarch"][2000:2200],
        "recall": recall,  # its last five bytes are the digits asked for
    }


def last_logits(model: Nano, prompt: bytes) -> torch.Tensor:
    """(POSITIONS, vocab)"""
    return model(as_tokens(prompt)[None], last=POSITIONS)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--texts", type=Path, default=data.TEXTS)
    args = parser.parse_args()

    torch.set_num_threads(1)
    texts = data.read_texts(args.texts)
    words = data.held_out_words(texts)
    single, double = load_gguf(args.weights).eval(), load_gguf(args.weights).eval().double()
    cases = []
    with torch.inference_mode():
        for name, prompt in prompts(texts, words).items():
            logits = last_logits(single, prompt)
            error = (logits - last_logits(double, prompt)).abs().max().item()
            cases.append({
                "name": name,
                "tokens": list(prompt),
                "text": prompt.decode("utf-8", "replace"),
                "positions": list(range(len(prompt) - POSITIONS, len(prompt))),
                "argmax": logits.argmax(-1).tolist(),
                "float32Error": float(f"{error:.2g}"),
                "logits": [[float(f"{value:.9g}") for value in row] for row in logits.tolist()],
            })  # fmt: skip
    golden = {
        "model": args.weights.name,
        "sha256": hashlib.sha256(args.weights.read_bytes()).hexdigest(),
        "cases": cases,
    }
    lines = json.dumps(golden, ensure_ascii=True).replace('], [', '],\n[').replace('{"name"', '\n{"name"')
    args.target.write_text(lines + "\n")
    worst = max(case["float32Error"] for case in cases)
    print(f"{args.target}: {args.target.stat().st_size:,} bytes, float32 error at most {worst}")


if __name__ == "__main__":
    main()
