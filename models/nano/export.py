"""Weights between the trainer and GGUF: `save_gguf` writes what llama.cpp and Keysieve read, and
`load_gguf` reads it back, for training on from a file and for checking it.

Run as a script it turns a checkpoint into a GGUF file:
    python export.py checkpoint.pt nano.gguf --context 16384
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch

from model import Config, Nano

BOS, EOS, PAD = 256, 257, 258


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each of the 256 bytes, in the order of the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def interleave_rope(rows: np.ndarray, heads: int) -> np.ndarray:
    """Query or key rows (heads * head_dim, width) from halves (i, i + 32), as the trainer pairs
    them, to neighbours (2i, 2i + 1), as llama's GGUF files do."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return split.swapaxes(1, 2).reshape(rows.shape)


def deinterleave_rope(rows: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `interleave_rope`."""
    split = rows.reshape(heads, rows.shape[0] // heads // 2, 2, rows.shape[1])
    return split.swapaxes(1, 2).reshape(rows.shape)


def tensor_names(config: Config) -> dict[str, tuple[str, int]]:
    """For each parameter of `Nano`: its name in GGUF, and the number of heads whose RoPE pairs
    its rows hold (0 where it has none)."""
    names = {"embedding.weight": ("token_embd.weight", 0), "norm.weight": ("output_norm.weight", 0)}
    for layer in range(config.layers):
        for ours, theirs, heads in [
            ("attention_norm", "attn_norm", 0),
            ("attention.query", "attn_q", config.query_heads),
            ("attention.key", "attn_k", config.key_value_heads),
            ("attention.value", "attn_v", 0),
            ("attention.output", "attn_output", 0),
            ("feed_forward_norm", "ffn_norm", 0),
            ("feed_forward.gate", "ffn_gate", 0),
            ("feed_forward.up", "ffn_up", 0),
            ("feed_forward.down", "ffn_down", 0),
        ]:
            names[f"blocks.{layer}.{ours}.weight"] = (f"blk.{layer}.{theirs}.weight", heads)
    return names


def save_gguf(model: Nano, path: Path, context: int) -> None:
    """Matrices as float16, norms as float32."""
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("keysieve-nano")
    writer.add_description("Byte-level decoder for testing attention over long prompts")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config.vocab)
    writer.add_context_length(context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.query_heads)
    writer.add_head_count_kv(config.key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_eps)

    alphabet = byte_alphabet()
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    # llama.cpp wants at least one merge, so the last token is two zero bytes: never seen in text.
    writer.add_token_list([*alphabet, "<|bos|>", "<|eos|>", "<|pad|>", alphabet[0] * 2])
    writer.add_token_types([normal] * 256 + [control] * 3 + [normal])
    writer.add_token_merges([f"{alphabet[0]} {alphabet[0]}"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(False)

    weights = model.state_dict()
    for ours, (theirs, rope_heads) in tensor_names(config).items():
        rows = weights[ours].float().numpy()
        if rope_heads:
            rows = interleave_rope(rows, rope_heads)
        kind = np.float32 if rows.ndim == 1 else np.float16
        writer.add_tensor(theirs, np.ascontiguousarray(rows.astype(kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_gguf(path: Path) -> Nano:
    """The model in `path`, in float32, with the values exactly as stored."""
    reader = gguf.GGUFReader(str(path))
    value = lambda key: reader.fields[key].contents()
    config = Config(
        width=value("llama.embedding_length"),
        layers=value("llama.block_count"),
        query_heads=value("llama.attention.head_count"),
        key_value_heads=value("llama.attention.head_count_kv"),
        head_dim=value("llama.attention.key_length"),
        hidden=value("llama.feed_forward_length"),
        vocab=value("llama.vocab_size"),
        rope_base=value("llama.rope.freq_base"),
    )
    stored = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    weights = {}
    for ours, (theirs, rope_heads) in tensor_names(config).items():
        rows = stored[theirs].astype(np.float32)
        weights[ours] = torch.from_numpy(deinterleave_rope(rows, rope_heads) if rope_heads else rows)
    model = Nano(config)
    model.load_state_dict(weights)
    return model


def load_weights(path: Path) -> Nano:
    """The model in a GGUF file or in a checkpoint of train.py."""
    if path.suffix == ".gguf":
        return load_gguf(path)
    model = Nano()
    model.load_state_dict(torch.load(path, weights_only=True)["weights"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("source", type=Path, help="a checkpoint of train.py, or a GGUF file")
    parser.add_argument("target", type=Path)
    parser.add_argument("--context", type=int, default=16_384, help="longest trained context")
    args = parser.parse_args()

    model = load_weights(args.source)
    save_gguf(model, args.target, args.context)
    written = load_gguf(args.target).state_dict()
    furthest = max((written[name] - rows).abs().max().item() for name, rows in model.state_dict().items())
    print(f"{args.target}: {args.target.stat().st_size:,} bytes, rounding at most {furthest:.1e}")


if __name__ == "__main__":
    main()
