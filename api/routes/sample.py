"""The route that adds the sample corpus to the data directory."""

from api.deps import InContext
from api.received_files import full_disk_as_problem
from api.routing import ThreadRouter
from api.schemas_datasets import SampleRead
from core.sample import PAIRS, SAMPLE, SAMPLE_DEV, write_sample

router = ThreadRouter("datasets")


@router.post("/sample", status_code=201)
async def add_sample(context: InContext) -> SampleRead:
    """Adds the sample: training text, validation text, and minimal pairs as an evaluation task.

    The service generates the text, so it needs no network. Parts that already exist do not change.
    """

    def write() -> None:
        with full_disk_as_problem():
            write_sample(context.settings.data_dir)

    await context.files.run(write)
    return SampleRead(datasets=[SAMPLE, SAMPLE_DEV], evaluations=[PAIRS])
