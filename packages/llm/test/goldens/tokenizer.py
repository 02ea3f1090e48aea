"""Writes tokenizer.json: words and token ids of difficult texts, by the `tokenizers` package of Hugging Face.

    python tokenizer.py [PATH of SmolLM2's tokenizer.json]    (needs tokenizers 0.23)

`words` has for each pre-tokenizer the words of each text in byte-level characters, with spaces between; the patterns
are those of the models' own tokenizer.json. `ids` has the ids of each text by SmolLM2's tokenizer, null for none.
"""
import json
import random
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, pre_tokenizers

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
START = r"[^\r\n\p{L}\p{N}]?"
PATTERNS = {
    "llama-bpe": CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "qwen2": CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "tekken": START + UPPER + "*" + LOWER + "+|" + START + UPPER + "+" + LOWER
    + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES,
    "gpt-4o": START + UPPER + "*" + LOWER + "+" + CONTRACTION + "?|" + START + UPPER + "+" + LOWER + "*" + CONTRACTION
    + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES,
}
TEXTS = [
    "",
    "Hello, world!",
    "I'm sure they'd've said it's we'll; I'M THEY'D IT'S",
    "  two  spaces\n\n\tand tabs \r\n end  ",
    "1234567 3.14159 0x1F 12:30 1,234.5",
    "½ ² ³ Ⅷ ٣٤٥ १२३ ①② 五",
    "na\u00efve na\u0131\u0308ve cafe\u0301 A\u030a",
    "你好，世界。こんにちは 안녕하세요",
    "🌍👩‍👩‍👧 a🌍b \U0001f1e9\U0001f1ea",
    "\ufeffBOM at the start \ufeff and within\ufeff\n",
    "next\u0085line nbsp\u00a0here\u3000ideographic\u2028separator",
    "snake_case camelCase HTTPServer XMLHttpRequest iPhone Straße ÉCOLE",
    "def f(x):\n    return x**2  # comment\n\n\n",
    "http://example.org/a/b?c=d&e=f#g ///\n//\n",
    "<|im_start|>user\nHi<|im_end|>\n",
    "a" * 300 + " " * 40 + "b\n" * 20,
    "…—“quotes” ‘single’ «guillemets»",
    "\x00\x01\x7f control",
]
ALPHABET = list("aZé1½ß٣'sStTdD  \n\r\t_.,!/-<|>") + ["\ufeff", "\u0085", "\u00a0", "\u3000", "\u0301", "中", "🌍",
                                                         "'s", "'RE", "  ", "\n\n", "ǅ", "ʰ", "Ⅷ"]


def texts():
    generator = random.Random(20240402)
    count = range(120)
    return TEXTS + ["".join(generator.choices(ALPHABET, k=generator.randint(1, 16))) for _ in count]


def words(pre_tokenizer, text):
    return " ".join(word for word, _ in pre_tokenizer.pre_tokenize_str(text))


def ids(tokenizer, text):
    return " ".join(str(each) for each in tokenizer.encode(text, add_special_tokens=False).ids)


def main():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    steps = {
        "gpt-2": gpt2,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2]),
        **{
            name: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])
            for name, pattern in PATTERNS.items()
        },
    }
    tokenizer = Tokenizer.from_file(sys.argv[1]) if len(sys.argv) > 1 else None
    goldens = {
        "texts": texts(),
        "words": {name: [words(step, text) for text in texts()] for name, step in steps.items()},
        "ids": [ids(tokenizer, text) for text in texts()] if tokenizer else None,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(goldens, indent=2, ensure_ascii=False) + "\n")


main()
