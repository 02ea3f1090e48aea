"""Writes dequantize.json: random blocks of each storage format and their float32 values, by the `gguf` package.

    python dequantize.py    (needs numpy and gguf 0.19)

Bytes are random; the half-precision scales are finite (signs, zeros and subnormals occur), since a NaN scale says
nothing about the format. `bytes` and `values` (little-endian float32) are base64.
"""
import base64
import json
from pathlib import Path

import gguf
import numpy as np

# Byte offsets of half-precision scales in a block.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208], "F16": [0], "BF16": [], "F32": [],
          "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "TQ1_0": [52], "TQ2_0": [64],
          "IQ3_XXS": [0], "IQ3_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0]}
BLOCKS_OF_ONE = 64
BLOCKS = 4


def random_blocks(generator, name, count, bytes_each):
    blocks = generator.integers(0, 256, (count, bytes_each), dtype=np.uint8)
    if name in ("BF16", "F32"):
        floats = generator.normal(size=count).astype(np.float32).view(np.uint32)
        return floats.view(np.uint8).reshape(count, 4)[:, 4 - bytes_each:]
    if name == "MXFP4":
        blocks[:, 0] = generator.integers(96, 160, count, dtype=np.uint8)  # exponents that float32 has
    for offset in SCALES[name]:
        halves = blocks[:, offset:offset + 2].copy().view(np.uint16)
        halves[(halves & 0x7C00) == 0x7C00] &= 0xBFFF
        blocks[:, offset:offset + 2] = halves.view(np.uint8)
    return blocks


def main():
    generator = np.random.default_rng(20240402)
    goldens = {}
    for name in SCALES:
        kind = gguf.GGMLQuantizationType[name]
        elements, bytes_each = gguf.GGML_QUANT_SIZES[kind]
        blocks = random_blocks(generator, name, BLOCKS_OF_ONE if elements == 1 else BLOCKS, bytes_each)
        values = gguf.dequantize(np.ascontiguousarray(blocks).reshape(-1), kind).astype("<f4")
        goldens[name] = {"bytes": base64.b64encode(blocks.tobytes()).decode(),
                         "values": base64.b64encode(values.tobytes()).decode()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(goldens, indent=2) + "\n")


main()
