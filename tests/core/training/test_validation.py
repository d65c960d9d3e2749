"""Bits per byte of each source, as validation reports them, equal those of plain transformers."""

import math

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from core.archs import ARCHITECTURES
from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.training.validate import source_metric

from .conftest import no_progress, write_text


@pytest.fixture
def two_sources(tmp_path, corpus):
    write_text(tmp_path / "childes.txt", documents=7, start=500)
    (tmp_path / "wiki.txt").write_text("Sentences of another kind, 1999!\n\nAre they?\n" * 9)
    output = tmp_path / "two"
    output.mkdir()
    encode_split(
        [tmp_path / "childes.txt", tmp_path / "wiki.txt"],
        tokenizer=corpus[2],
        output=output,
        progress=no_progress,
        should_stop=lambda: False,
        processes=1,
    )
    return TokenFile.open(output)


def plain_bits(run, tokens: TokenFile) -> dict[str, float]:
    """Bits per byte of each source with the last weights, in the windows that validation uses."""
    model = AutoModelForCausalLM.from_pretrained(run.rundir.checkpoint("last"))
    length, ids = run.spec.training.seq_length, torch.from_numpy(tokens.ids.astype("int64"))
    losses = torch.cat(
        [
            functional.cross_entropy(
                model(ids[None, begin : begin + length][:, : len(ids) - 1 - begin]).logits[0],
                ids[begin + 1 : begin + length + 1],
                reduction="none",
            )
            for begin in range(0, len(ids) - 1, length)
        ]
    )  # (N - 1,) of the tokens after the first
    found, end = {}, 0
    for name, source in tokens.meta.sources.items():
        part = losses[max(0, end - 1) : end + source.tokens - 1]
        end += source.tokens
        nats = part.double().mean().item() * source.tokens
        found[name] = nats / source.bytes / math.log(2)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bits_per_byte_of_each_source_are_those_of_plain_transformers(
    tiny_run, two_sources, architecture
):
    run = tiny_run(architecture, max_steps=4, eval_tokens=None, micro_batch_size=4)
    run.go(validation=two_sources)
    expected = plain_bits(run, two_sources)
    assert set(expected) == {"childes", "wiki"}
    for name, bits in expected.items():
        measured = run.values(f"validation/bits_per_byte/{name}")
        assert list(measured) == [0, 4]
        assert measured[4] == pytest.approx(bits, rel=1e-5), name


def test_two_devices_find_the_same_for_each_source(tiny_run, two_sources):
    one, two = (tiny_run(name=str(number), max_steps=1, num_devices=number) for number in (1, 2))
    for run in (one, two):
        run.go(validation=two_sources)
    for name in ("loss", "bits_per_byte", "bits_per_byte/childes", "bits_per_byte/wiki"):
        values = one.values(f"validation/{name}")
        assert two.values(f"validation/{name}") == pytest.approx(values, rel=1e-5), name


def test_one_source_has_no_metric_of_its_own(tiny_run):
    run = tiny_run(max_steps=1)
    run.go()
    names = {name for event in run.events for name in getattr(event, "values", {})}
    assert not [name for name in names if name.startswith("validation/bits_per_byte/")]


def test_a_source_with_a_long_name_has_a_metric_that_the_database_takes():
    assert source_metric(3, "childes") == "validation/bits_per_byte/childes"
    names = {source_metric(number, "s" * 64 + str(number)) for number in range(12)}
    assert len(names) == 12
    assert all(len(name) <= 64 for name in names)
