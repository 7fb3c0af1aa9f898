"""Every pass leaves a well-formed model of the same interface and the same function, and is a no-op the second time."""

from pathlib import Path

import pytest

from compiling import loaded, target
from models.builders import BUILDERS
from models.operators import MODELS
from neo_cli.base.table import resolve
from neo_cli.model import feeds, proto
from neo_cli.model.verify import verify
from neo_cli.passes import PASSES
from neo_cli.report.accuracy import GATES, compare

SOURCES = {
    **{n: lambda n=n: BUILDERS[n](True) for n in BUILDERS},
    **{n: MODELS[n] for n in ("Conv", "Gather", "NonZero", "TopK", "Where")},
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_keeps_interface_and_function(name: str, source: str, tmp_path: Path) -> None:
    import onnxruntime

    model = loaded(SOURCES[source](), tmp_path)
    inputs, names = model.inputs, [t.name for t in model.outputs]
    once = verify(resolve(PASSES[name])(model, target()), name)
    assert once.inputs == inputs and [t.name for t in once.outputs] == names
    assert once.oracle is model.oracle
    session = onnxruntime.InferenceSession(once.graph.SerializeToString())
    for _, feed in list(feeds.seeded(model))[:2]:
        answers = model.oracle(feed)
        found = dict(zip(names, session.run(names, feed)))
        for figures in compare(answers, found, once.outputs).values():
            assert figures.beyond(GATES["float32"]) is None
    before = proto.statistics(once.graph)
    assert proto.statistics(resolve(PASSES[name])(once, target()).graph) == before
