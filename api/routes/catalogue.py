"""Routes that list the architectures and the presets."""

from api.routing import ThreadRouter
from api.schemas import Json
from core.archs import ARCHITECTURES
from core.spec.job import JobSpec
from core.spec.presets import NOMINAL_WORDS, PRESETS

router = ThreadRouter("catalogue")


@router.get("/architectures")
def architectures() -> dict[str, list[Json]]:
    """The architectures, each with the JSON schema of its fields."""
    return {
        "data": [
            {
                "name": name,
                "title": kind.title,
                "source": kind.source,
                "schema": kind.model_json_schema(),
            }
            for name, kind in ARCHITECTURES.items()
        ]
    }


@router.get("/presets")
def presets() -> dict[str, list[Json]]:
    """The presets, each with its complete spec and its parameter count.

    `words` is the number of words that the preset's dataset has in the BabyLM challenge. It is null
    if the dataset is not part of the challenge.
    """
    data: list[Json] = []
    for name, preset in PRESETS.items():
        spec = JobSpec.model_validate({"preset": name}).resolve()
        count = spec.model.num_parameters(vocab_size=spec.tokenizer.vocab_size)
        data.append(
            {
                "name": name,
                "description": preset.description,
                "parameter_count": count,
                "words": NOMINAL_WORDS.get(spec.data.dataset),
                "spec": spec.model_dump(mode="json"),
            }
        )
    return {"data": data}
