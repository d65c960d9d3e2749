"""Writes given sentences in the line formats of the six BabyLM sources, including their markup."""

from collections.abc import Callable, Iterator
from random import Random

Draw = Callable[[], str]


def childes(random: Random, draw: Draw, *, document: int) -> Iterator[str]:
    """A transcript with a header, speakers, tiers, actions and unintelligible words."""
    yield f"= = = childes/Sample/{document // 10:02d}/{document:04d}.cha = = ="
    for _ in range(random.randint(15, 40)):
        text = draw()
        roll = random.random()
        if roll < 0.06:
            text = f"{text[:-1]} [{random.choice(['laughs', 'points', 'picks up ball'])}] ."
        elif roll < 0.09:
            text = f"xxx {text}"
        elif roll < 0.11:
            text = "[looks away]"
        yield f"*{random.choice(['MOT', 'CHI', 'FAT', 'INV'])}:\t{text}"
        if random.random() < 0.03:
            yield "%add:\tchi"
    yield ""


def bnc_spoken(random: Random, draw: Draw, *, document: int) -> Iterator[str]:
    """A conversation with one utterance per line, stray full stops and extra spaces."""
    del document
    for _ in range(random.randint(10, 40)):
        text = draw()
        roll = random.random()
        if roll < 0.03:
            text = "."
        elif roll < 0.08:
            text = text[:-1] + " ."
        elif roll < 0.12:
            text = text.replace(" ", "  ", 1) + " "
        yield text
    yield ""


def switchboard(random: Random, draw: Draw, *, document: int) -> Iterator[str]:
    """A telephone call with speakers `A:` and `B:`, events and stray asterisks.

    There is no empty line between calls.
    """
    del document
    speaker = "A"
    for _ in range(random.randint(20, 60)):
        speaker = "B" if random.random() < 0.7 and speaker == "A" else "A"
        text = draw()
        roll = random.random()
        if roll < 0.04:
            text = f"<laughter> {text}"
        elif roll < 0.06:
            text = f"{text} *"
        elif roll < 0.08:
            text = "[ The, + the ] " + text[0].lower() + text[1:]
        yield f"{speaker}:\t{text}"


def open_subtitles(random: Random, draw: Draw, *, document: int) -> Iterator[str]:
    """The subtitles of a film, with dashes, songs, captions, names of speakers and tags."""
    del document
    for _ in range(random.randint(20, 60)):
        text = draw()
        roll = random.random()
        if roll < 0.15:
            text = f"- {text}"
        elif roll < 0.18:
            text = f"\u266a {text} \u266a"
        elif roll < 0.21:
            text = "[door opens]"
        elif roll < 0.24:
            text = f"{random.choice(['ANNA', 'JOHN', 'OLD MAN'])}: {text}"
        elif roll < 0.26:
            text = f"<i>{text}</i>"
        yield text


def gutenberg(random: Random, draw: Draw, *, document: int) -> Iterator[str]:
    """A book with a header, chapters, italics, illustrations and rows of asterisks.

    Each paragraph is one line.
    """
    yield f"= = = PG{90000 + document} = = ="
    for chapter in range(random.randint(2, 4)):
        yield f"CHAPTER {'I' * (chapter + 1)}"
        for _ in range(random.randint(4, 9)):
            words = " ".join(draw() for _ in range(random.randint(3, 7))).split(" ")
            if random.random() < 0.3:
                place = random.randrange(len(words))
                words[place] = f"_{words[place].rstrip('.?')}_" + words[place][-1:].strip(
                    "abcdefghijklmnopqrstuvwxyz"
                )
            yield " ".join(words)
        if random.random() < 0.3:
            yield "[Illustration: a dog near a tree]"
        if random.random() < 0.3:
            yield "* * * * *"
    yield ""


def simple_wiki(random: Random, draw: Draw, *, document: int) -> Iterator[str]:
    """An article with a title between equals signs, and paragraphs."""
    del document
    title = draw().rstrip(".?")
    yield f"= = = {title} = = ="
    for _ in range(random.randint(2, 5)):
        yield " ".join(draw() for _ in range(random.randint(2, 6)))
    yield ""


FORMATS: dict[str, tuple[Callable[..., Iterator[str]], float]] = {
    "bnc_spoken": (bnc_spoken, 0.08),
    "childes": (childes, 0.29),
    "gutenberg": (gutenberg, 0.26),
    "open_subtitles": (open_subtitles, 0.20),
    "simple_wiki": (simple_wiki, 0.15),
    "switchboard": (switchboard, 0.02),
}
"""For each source, the function that writes a document, and the source's share of BabyLM's words.
In the sample, the source has the same share of the bytes."""
