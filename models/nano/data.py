"""What the model reads: public-domain books, and episodes that ask for something said earlier.

An episode is a run of a book with insertions at random places. Facts ("The number of amber fox is
48213.") are stated two or more times, and so are chunks of random words or characters; from the
second time on they can be recalled, and the loss weighs those bytes more. The last 5 % of every
book, and the words that occur only there, are never trained on: `evaluate.py` uses them.

Everything random comes from the `random.Random` that is passed in, so a batch is a function of
the seed and the step alone.
"""

import random
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TEXTS = Path(__file__).resolve().parents[2].parent / "shared" / "texts"
TRAINED_SHARE = 0.95  # of each text, from its start

DIGIT_WEIGHT = 5.0  # of the loss on the digits of a fact stated before
COPY_WEIGHT = 1.5  # of the loss on a chunk seen before, past its first bytes
COPY_START = 4

# The first three are the forms of the pilot; {} {} are the name and the digits.
TEMPLATES = [
    "The number of {} is {}. ",
    "The code for {} is {}. ",
    "{} = {}\n",
    "The secret code of {} is {}. ",
    "The pass key for {} is {}. ",
    "Remember: {} is {}. ",
    "{}: {}\n",
    "\nThe magic number of {} is: {}.\n",
]
TEMPLATE_WEIGHTS = [4, 4, 3, 1, 1, 1, 1, 1]


@dataclass(frozen=True)
class Text:
    name: str
    trained: bytes
    held_out: bytes


@dataclass(frozen=True)
class Insertion:
    content: bytes
    weighted: slice  # the bytes of `content` that weigh more once it has been seen
    weight: float


def read_texts(folder: Path = TEXTS) -> list[Text]:
    texts = []
    for path in sorted(folder.glob("*.txt")):
        content = path.read_bytes()
        cut = int(len(content) * TRAINED_SHARE)
        texts.append(Text(path.stem, content[:cut], content[cut:]))
    if not texts:
        raise FileNotFoundError(f"no .txt files in {folder}: name the folder with --texts")
    return texts


def words_of(content: bytes) -> set[str]:
    """Plain lower-case words of 4 to 8 letters."""
    words = content.decode("utf-8", "ignore").lower().split()
    return {word for word in words if word.isascii() and word.isalpha() and 4 <= len(word) <= 8}


def trained_words(texts: list[Text]) -> list[str]:
    return sorted(set().union(*(words_of(text.trained) for text in texts)))


def held_out_words(texts: list[Text]) -> list[str]:
    """Words that no training batch can hold."""
    unseen = set().union(*(words_of(text.held_out) for text in texts))
    return sorted(unseen - set(trained_words(texts)))


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def make_fact(rng: random.Random, words: list[str]) -> Insertion:
    template = rng.choices(TEMPLATES, TEMPLATE_WEIGHTS)[0]
    name = " ".join(rng.sample(words, rng.choice([1, 2, 2, 3])))
    code = digits(rng, rng.choice([3, 4, 5, 5, 5, 5, 6, 7]))
    content = template.format(name, code).encode()
    start = content.rindex(code.encode())
    return Insertion(content, slice(start, start + len(code)), DIGIT_WEIGHT)


def make_chunk(rng: random.Random, words: list[str]) -> Insertion:
    if rng.random() < 0.5:
        content = " ".join(rng.sample(words, rng.randrange(4, 14)))
    else:
        letters = string.ascii_lowercase + string.digits + " "
        content = "".join(rng.choices(letters, k=rng.randrange(12, 48)))
    content = f"{content} ".encode()
    return Insertion(content, slice(COPY_START, len(content)), COPY_WEIGHT)


def stretch(rng: random.Random, texts: list[Text], length: int) -> bytes:
    """`length` consecutive bytes of a book's trained part, each book as often as it is long."""
    text = rng.choices(texts, [len(text.trained) for text in texts])[0]
    start = rng.randrange(len(text.trained) - length)
    return text.trained[start : start + length]


def place(rng: random.Random, body_length: int, times: int) -> list[int]:
    """Where in the body something is said. A third of the time the last place is near the end and
    the others are anywhere, so that long distances are as common as short ones."""
    places = [rng.randrange(body_length + 1) for _ in range(times)]
    if rng.random() < 1 / 3:
        places[-1] = rng.randrange(body_length * 9 // 10, body_length + 1)
    return places


def episode(
    rng: random.Random,
    texts: list[Text],
    words: list[str],
    length: int,
    plain_share: float,
) -> tuple[bytes, np.ndarray]:
    """`length` bytes, and for each the weight (length,) of predicting it."""
    weights = np.ones(length, np.float32)
    if rng.random() < plain_share:
        return stretch(rng, texts, length), weights

    gap = rng.choice([40, 80, 160, 400] if length <= 4096 else [60, 150, 400, 1200])
    insertions = [make_fact(rng, words) for _ in range(max(2, length // (3 * gap)))]
    times = [rng.choice([2, 2, 3, 4]) for _ in insertions]
    if rng.random() < 0.4:
        chunks = [make_chunk(rng, words) for _ in range(max(1, length // 800))]
        insertions += chunks
        times += [rng.choice([2, 2, 3]) for _ in chunks]

    # Drop what does not fit, at random, and leave at least a tenth of the length to the book.
    order = rng.sample(range(len(insertions)), len(insertions))
    room = length * 9 // 10
    kept = []
    for index in order:
        needed = times[index] * len(insertions[index].content)
        if needed <= room:
            room -= needed
            kept.append(index)
    inserted = sum(times[index] * len(insertions[index].content) for index in kept)
    body = stretch(rng, texts, length - inserted)

    placed = [(at, rng.random(), index) for index in kept for at in place(rng, len(body), times[index])]
    pieces: list[bytes] = []
    written = taken = 0
    seen: set[int] = set()
    for at, _, index in sorted(placed):
        insertion = insertions[index]
        pieces += [body[taken:at], insertion.content]
        written += at - taken
        if index in seen:
            first, end, _ = insertion.weighted.indices(len(insertion.content))
            weights[written + first : written + end] = insertion.weight
        seen.add(index)
        written += len(insertion.content)
        taken = at
    pieces.append(body[taken:])
    return b"".join(pieces), weights


def make_batch(
    rng: random.Random,
    texts: list[Text],
    words: list[str],
    rows: int,
    length: int,
    plain_share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Bytes (rows, length + 1) as int64, and their weights (rows, length + 1) as float32."""
    episodes = [episode(rng, texts, words, length + 1, plain_share) for _ in range(rows)]
    tokens = np.stack([np.frombuffer(content, np.uint8) for content, _ in episodes]).astype(np.int64)
    return tokens, np.stack([weights for _, weights in episodes])


def skipping_positions(rng: random.Random, length: int, span: int) -> np.ndarray:
    """Positions (length,) that rise from 0 and jump at a few random places, to end below `span`:
    a short window then holds distances as far as a long one (PoSE, arXiv 2309.10400)."""
    positions = np.arange(length)
    jumps = rng.randrange(1, 4)
    spare = rng.randrange(span - length + 1)
    shares = sorted(rng.randrange(spare + 1) for _ in range(jumps - 1))
    for before, after in zip([0, *shares], [*shares, spare]):
        positions[rng.randrange(1, length) :] += after - before
    return positions
