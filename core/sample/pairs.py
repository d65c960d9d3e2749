"""Draws minimal pairs.

A minimal pair has a grammatical sentence, and a similar sentence that breaks one rule. For each
rule there is a function that draws a `Pair`. The docstring of the function states the rule.
"""

from collections.abc import Callable
from random import Random

from core.sample.grammar import (
    ADJECTIVES,
    ANIMATE,
    FEMALE,
    INTRANSITIVE,
    MALE,
    PREPOSITIONS,
    THINGS,
    TRANSITIVE,
    adverb,
    conjugate,
    finish,
    plural,
)

PAIRS_EACH = 200
"""Number of pairs per phenomenon."""

Pair = tuple[str, str]


def agreement(random: Random) -> Pair:
    """The verb agrees with its subject."""
    many = random.random() < 0.5
    noun = random.choice(_countable(ANIMATE))
    head = ["the", random.choice(ADJECTIVES), plural(noun) if many else noun]
    verb, rest = random.choice(INTRANSITIVE), adverb(random)
    return (
        finish([*head, conjugate(verb, is_plural=many), *rest], "."),
        finish([*head, conjugate(verb, is_plural=not many), *rest], "."),
    )


def agreement_across_distractor(random: Random) -> Pair:
    """The verb agrees with its subject, not with a noun between subject and verb.

    That noun is singular if the subject is plural, and plural if the subject is singular.
    """
    many = random.random() < 0.5
    noun, place = random.choice(_countable(ANIMATE)), random.choice(_countable(THINGS))
    head = ["the", plural(noun) if many else noun, random.choice(PREPOSITIONS)]
    head += ["the", place if many else plural(place)]
    verb, rest = random.choice(INTRANSITIVE), adverb(random)
    return (
        finish([*head, conjugate(verb, is_plural=many), *rest], "."),
        finish([*head, conjugate(verb, is_plural=not many), *rest], "."),
    )


def determiner_noun(random: Random) -> Pair:
    """The determiner and the noun agree in number."""
    many = random.random() < 0.5
    noun = random.choice(_countable(ANIMATE + THINGS))
    name = random.choice(FEMALE + MALE)
    verb = conjugate(random.choice(TRANSITIVE), is_plural=False)
    right = ["these", "those", "two", "many"] if many else ["this", "that", "every", "one"]
    head = [name, verb, random.choice(right)]
    forms = (plural(noun), noun) if many else (noun, plural(noun))
    good, bad = (finish([*head, form], ".") for form in forms)
    return good, bad


def pronoun_gender(random: Random) -> Pair:
    """The pronoun has the gender of the name that it refers to."""
    is_female = random.random() < 0.5
    name = random.choice(FEMALE if is_female else MALE)
    verb = conjugate(random.choice(TRANSITIVE), is_plural=False)
    forms = ("herself", "himself") if is_female else ("himself", "herself")
    rest = adverb(random)
    good, bad = (finish([name, verb, form, *rest], ".") for form in forms)
    return good, bad


def word_order(random: Random) -> Pair:
    """An adjective precedes its noun."""
    many = random.random() < 0.5
    noun, adjective = random.choice(ANIMATE), random.choice(ADJECTIVES)
    form = plural(noun) if many else noun
    rest = [conjugate(random.choice(INTRANSITIVE), is_plural=many), *adverb(random)]
    return (
        finish(["the", adjective, form, *rest], "."),
        finish(["the", form, adjective, *rest], "."),
    )


PHENOMENA: dict[str, Callable[[Random], Pair]] = {
    "agreement": agreement,
    "agreement_across_distractor": agreement_across_distractor,
    "determiner_noun": determiner_noun,
    "pronoun_gender": pronoun_gender,
    "word_order": word_order,
}


def draw_pairs(*, seed: int) -> dict[str, list[Pair]]:
    """`PAIRS_EACH` different minimal pairs for each phenomenon."""
    drawn: dict[str, list[Pair]] = {}
    for name, draw in PHENOMENA.items():
        random = Random(f"{seed}:{name}")
        pairs: dict[Pair, None] = {}
        while len(pairs) < PAIRS_EACH:
            pairs[draw(random)] = None
        drawn[name] = list(pairs)
    return drawn


def _countable(nouns: list[str]) -> list[str]:
    return [noun for noun in nouns if plural(noun) != noun]
