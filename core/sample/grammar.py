"""A small grammar of toy English: agreement, number, determiners, gender, and a few hundred words.

Sentences are random, so nearly every sentence is new, but every word occurs often. A model can
therefore learn the grammar and cannot memorize the sentences.
"""

from dataclasses import dataclass
from random import Random

ANIMATE = (
    "dog cat bird horse cow sheep rabbit fox bear duck goat lion tiger monkey mouse frog boy "
    "girl teacher farmer doctor baker sailor singer dancer painter driver neighbour friend "
    "baby king queen nurse pilot hunter clown"
).split()
THINGS = (
    "tree house river hill garden table chair boat car train window door bridge tower box "
    "basket bottle ball book letter picture lamp cup cake apple stone flower road wall bed "
    "clock hat coat drum shoe"
).split()
IRREGULAR = {"sheep": "sheep", "mouse": "mice", "baby": "babies", "fox": "foxes", "box": "boxes"}
INTRANSITIVE = (
    "sleep run jump sing dance laugh smile cry swim walk play wait work rest fall shout "
    "listen dream whistle"
).split()
TRANSITIVE = (
    "see like love follow help find hear know call chase visit remember forget want need "
    "paint draw greet thank admire"
).split()
IRREGULAR_VERBS = {"cry": "cries"}
ADJECTIVES = (
    "old young big small happy sad red green blue quick slow kind brave quiet loud tall tired "
    "hungry clever funny white black proud strange"
).split()
ADVERBS = (
    "today again slowly often here there quietly happily every_day in_the_morning at_night "
    "after_lunch all_day together"
).split()
PREPOSITIONS = "near behind beside under above opposite".split()
FEMALE = "Mary Anna Susan Lucy Emma Clara Alice Rose Helen Jane".split()
MALE = "John Peter Tom Paul Henry David George Mark Simon Jack".split()
SINGULAR_DETERMINERS = "the the the a this that every one".split()
PLURAL_DETERMINERS = "the the the these those all two three many some".split()
VOWELS = "aeiou"


@dataclass(frozen=True)
class NounPhrase:
    """The words of a noun phrase, and whether it is plural."""

    words: tuple[str, ...]
    is_plural: bool


def plural(noun: str) -> str:
    """The plural of a noun."""
    return IRREGULAR.get(noun, noun + "s")


def conjugate(verb: str, *, is_plural: bool) -> str:
    """The third-person form of a verb in the present tense, singular or plural."""
    if is_plural:
        return verb
    if verb in IRREGULAR_VERBS:
        return IRREGULAR_VERBS[verb]
    return verb + "es" if verb.endswith(("ch", "sh", "s")) else verb + "s"


def noun_phrase(random: Random, nouns: list[str], *, is_plural: bool | None = None) -> NounPhrase:
    """A determiner, in some cases an adjective, and a noun that agrees with the determiner."""
    many = random.random() < 0.5 if is_plural is None else is_plural
    determiner = random.choice(PLURAL_DETERMINERS if many else SINGULAR_DETERMINERS)
    noun = random.choice(nouns)
    words = [random.choice(ADJECTIVES)] if random.random() < 0.35 else []
    words.append(plural(noun) if many else noun)
    if determiner == "a" and words[0][0] in VOWELS:
        determiner = "an"
    return NounPhrase((determiner, *words), many)


def adverb(random: Random) -> list[str]:
    """An adverb or an adverbial phrase."""
    return random.choice(ADVERBS).split("_")


def subject(random: Random) -> NounPhrase:
    """The subject of a sentence, often with a phrase between its noun and the verb."""
    phrase = noun_phrase(random, ANIMATE)
    draw = random.random()
    if draw < 0.3:
        place = noun_phrase(random, THINGS)
        between = (random.choice(PREPOSITIONS), *place.words)
        return NounPhrase(phrase.words + between, phrase.is_plural)
    if draw < 0.4:
        other = noun_phrase(random, ANIMATE)
        verb = conjugate(random.choice(TRANSITIVE), is_plural=other.is_plural)
        return NounPhrase((*phrase.words, "that", *other.words, verb), phrase.is_plural)
    return phrase


def sentence(random: Random) -> str:
    """A sentence with a capital letter at the start and a full stop or question mark at the end."""
    draw = random.random()
    if draw < 0.22:
        words = name_sentence(random)
    elif draw < 0.3:
        words = question(random)
        return finish(words, "?")
    else:
        who = subject(random)
        words = [*who.words, *predicate(random, is_plural=who.is_plural)]
    if draw > 0.93:
        other = subject(random)
        words += ["and", *other.words, *predicate(random, is_plural=other.is_plural)]
    return finish(words, ".")


def predicate(random: Random, *, is_plural: bool) -> list[str]:
    """A verb that agrees with its subject, and the words after it."""
    draw = random.random()
    if draw < 0.4:
        words = [conjugate(random.choice(INTRANSITIVE), is_plural=is_plural)]
    elif draw < 0.85:
        whom = noun_phrase(random, ANIMATE if random.random() < 0.5 else THINGS)
        words = [conjugate(random.choice(TRANSITIVE), is_plural=is_plural), *whom.words]
    else:
        return ["are" if is_plural else "is", random.choice(ADJECTIVES)]
    return words + adverb(random) if random.random() < 0.5 else words


def name_sentence(random: Random) -> list[str]:
    """A sentence about a person with a name, with pronouns that agree in gender."""
    is_female = random.random() < 0.5
    name = random.choice(FEMALE if is_female else MALE)
    verb = conjugate(random.choice(TRANSITIVE), is_plural=False)
    draw = random.random()
    if draw < 0.45:
        return [name, verb, "herself" if is_female else "himself", *adverb(random)]
    owned = random.choice(THINGS + ANIMATE)
    own = "her" if is_female else "his"
    if draw < 0.75:
        return [name, verb, own, owned, *adverb(random)]
    again = conjugate(random.choice(INTRANSITIVE), is_plural=False)
    return [name, verb, own, owned, "and", "she" if is_female else "he", again]


def question(random: Random) -> list[str]:
    """A question with `does` or `do`, which agrees with the subject."""
    who = noun_phrase(random, ANIMATE)
    words = ["do" if who.is_plural else "does", *who.words, random.choice(INTRANSITIVE)]
    return words + adverb(random) if random.random() < 0.4 else words


def finish(words: list[str], mark: str) -> str:
    """Joins words to a sentence that begins with a capital letter and ends with `mark`."""
    text = " ".join(words)
    return text[0].upper() + text[1:] + mark
