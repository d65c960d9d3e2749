"""Small files in the formats of the official BabyLM evaluations, with text of this project."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

from core.sample.grammar import ADJECTIVES, ANIMATE, THINGS, sentence
from core.sample.pairs import PHENOMENA

READING_COLUMNS = (
    *(",item,word,word2,sentence,context_length,sent_id,item_id,list,Subtlex_log10,length").split(
        ","
    ),
    *"RTfirstfix,RTfirstpass,RTgopast,RTrightbound,self_paced_reading_time".split(","),
    *"ELAN,LAN,N400,P600,EPNP,PNP,prev_word,prev_item,prev_length".split(","),
)


def write_official_files(folder: Path, *, items: int = 20, seed: int = 0) -> list[Path]:
    """Writes a folder for each task, under its official name; returns the folders."""
    random = Random(seed)
    written = {
        "blimp_filtered": _blimp(random, items),
        "supplement_filtered": _supplement(random, items),
        "ewok_filtered": _ewok(random, items),
        "entity_tracking": _entity_tracking(random, items),
        "wug_adj_nominalization": {"wug_adj_nominalization": _wug_adj(random, items)},
        "wug_past_tense": {"wug_past_tense": _wug_past(random, items)},
        "comps": _comps(random, items),
    }
    for task, files in written.items():
        (folder / task).mkdir(parents=True)
        for stem, entries in files.items():
            lines = "".join(json.dumps(entry) + "\n" for entry in entries)
            (folder / task / f"{stem}.jsonl").write_text(lines)
    (folder / "reading").mkdir()
    with (folder / "reading" / "reading_data.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, READING_COLUMNS)
        writer.writeheader()
        writer.writerows(_reading(random, 4 * items))
    (folder / "cdi_childes").mkdir()
    words = json.dumps(_aoa(random, items), indent=2)
    (folder / "cdi_childes" / "cdi_childes.json").write_text(words)
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _aoa(random, items):
    """Words with contexts. One word has a space before it, and one has only one letter."""
    words = [*random.sample(THINGS, min(3, len(THINGS))), "a", " ice cream"]
    return {
        word: [{"context": f" {sentence(random)} I saw the "} for _ in range(1 + items // 10)]
        for word in words
    }


def _blimp(random, items):
    files = {}
    for number, (name, draw) in enumerate(PHENOMENA.items()):
        files[name] = [
            {
                **dict(zip(("sentence_good", "sentence_bad"), draw(random), strict=True)),
                "field": ("syntax", "morphology", "syntax_semantics")[number % 3],
                "linguistics_term": ("agreement", "binding")[number % 2],
                "UID": name,
                "simple_LM_method": True,
                "pair_id": pair,
            }
            for pair in range(items)
        ]
    return files


def _supplement(random, items):
    return {
        name: [
            {"row": row, **dict(zip(("sentence_good", "sentence_bad"), draw(random), strict=True))}
            for row in range(items)
        ]
        for name, draw in list(PHENOMENA.items())[:2]
    }


def _ewok(random, items):
    files = {}
    for domain in ("agent-properties", "social-relations"):
        files[domain] = [
            {
                "Domain": domain,
                "ConceptA": "believe",
                "ConceptB": "doubt",
                "ContextType": random.choice(["direct", "indirect"]),
                "ContextDiff": "antonym",
                "TargetDiff": random.choice(["concept swap", "variable swap"]),
                "Context1": f"{sentence(random)} {sentence(random)}",
                "Context2": sentence(random),
                "Target1": sentence(random),
                "Target2": sentence(random),
            }
            for _ in range(items)
        ]
    return files


def _entity_tracking(random, items):
    files = {}
    for split in ("regular", "ambiref", "move_contents"):
        entries = []
        for number in range(items):
            things = [f"the {random.choice(ADJECTIVES)} {random.choice(THINGS)}" for _ in range(5)]
            boxes = ", ".join(f"Box {box} contains {thing}" for box, thing in enumerate(things))
            order = random.sample(range(5), 5)
            entries.append(
                {
                    "sample_id": number,
                    "numops": number * 3 // items,
                    "input_prefix": f"{boxes}. Box {order[0]} contains ",
                    "options": [things[box] + "." for box in order],
                    "example_id": number,
                }
            )
        files[split] = entries
    return files


def _wug_adj(random, items):
    start = "Create a noun out of the following adjective:"
    for word in _nonce_words(random, items):
        texts = [f"{start} {word}able. {word}{end}" for end in ("ability", "ableness")]
        yield {"sentences": "\t".join(texts), "ratio": random.random()}


def _wug_past(random, items):
    for word in _nonce_words(random, items):
        texts = [f"Today I {word}. Yesterday I {word}{end}." for end in ("ed", "t")]
        yield {"sentences": "\t".join(texts), "ratio": random.random()}


def _nonce_words(random, items) -> Iterable[str]:
    parts = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    return ["".join(random.sample(parts, 3)) for _ in range(items)]


def _comps(random, items):
    def pair(between: str):
        return {
            "prefix_acceptable": f"A {random.choice(ANIMATE)}{between}",
            "prefix_unacceptable": f"A {random.choice(THINGS)}{between}",
            "property_phrase": f"is {random.choice(ADJECTIVES)} near the {random.choice(THINGS)}.",
        }

    return {
        stem: [pair(between) for _ in range(items)]
        for stem, between in (
            ("comps_base", ""),
            ("comps_wugs", " is a wug. Therefore, a wug"),
            ("comps_wugs_dist-before", " is near. Therefore, a wug"),
            ("comps_wugs_dist-in-between", " is a wug. A dax is there. Therefore, a wug"),
        )
    }


def _reading(random, rows):
    made = []
    while len(made) < rows:
        text = sentence(random)
        words = text.split()
        for at in range(1, len(words)):
            if random.random() < 0.3:
                continue  # the official file has only some words of each sentence
            times = {name: random.uniform(80, 400) for name in READING_COLUMNS[11:16]}
            rest = {name: random.gauss(0, 1) for name in READING_COLUMNS[16:22]}
            row = {
                "": len(made),
                "item": " ".join(words[:at]),
                "word": words[at].rstrip("."),
                "word2": words[at].upper(),
                "sentence": text,
                "context_length": at,
                "sent_id": 1,
                "item_id": len(made),
                "list": 1,
                "Subtlex_log10": random.uniform(4, 16),
                "length": len(words[at]),
                **times,
                **rest,
                "prev_word": words[at - 1],
                "prev_item": " ".join(words[: at - 1]),
                "prev_length": len(words[at - 1]),
            }
            if random.random() < 0.05:
                row["RTgopast"] = ""  # a missing cell, as in the official file
            made.append(row)
    return made[:rows]


def write_classification_files(folder: Path, *, items: int = 20, seed: int = 0) -> None:
    """Writes training and validation files of (Super)GLUE tasks under their official names."""
    random = Random(seed)
    folder.mkdir(parents=True)
    for task, draw in CLASSIFICATION.items():
        for part, count in (("train", items), ("valid", items // 2)):
            entries = [draw(random) | {"idx": number} for number in range(count)]
            lines = "".join(json.dumps(entry) + "\n" for entry in entries)
            (folder / f"{task}.{part}.jsonl").write_text(lines)


def _labelled(random, labels=2, **texts):
    """A label, and texts from which it can be learned."""
    label = random.randrange(labels)
    name, text = next(iter(texts.items()))
    return texts | {name: f"{text} {('No', 'Yes', 'Perhaps')[label]}.", "label": label}


CLASSIFICATION = {
    "boolq": lambda random: _labelled(
        random, question=sentence(random), passage=f"{sentence(random)} {sentence(random)}"
    ),
    "mnli": lambda random: _labelled(
        random, labels=3, premise=sentence(random), hypothesis=sentence(random)
    ),
    "multirc": lambda random: _labelled(
        random,
        paragraph=f"{sentence(random)} {sentence(random)}",
        question=sentence(random),
        answer=random.choice(THINGS),
    ),
    "qqp": lambda random: _labelled(random, question1=sentence(random), question2=sentence(random)),
    "rte": lambda random: _labelled(random, sentence1=sentence(random), sentence2=sentence(random)),
    "wsc": lambda random: _labelled(
        random,
        text=sentence(random),
        span1_text=f"the {random.choice(ANIMATE)}",
        span2_text="they",
    ),
}
