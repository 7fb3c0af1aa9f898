"""Every back end compiles a one-operator model correctly, or refuses it by name; nothing in between."""

import functools
from pathlib import Path

import pytest

from compiling import loaded, target
from models.operators import MODELS
from neo_cli.backends import BACKENDS
from neo_cli.backends.candidates import attempts
from neo_cli.base.errors import OperatorNotImplemented, TargetUnavailable
from neo_cli.model.model import Model
from neo_cli.packaging.layout import lay_out
from neo_cli.passes import optimize
from neo_cli.report.check import Case, cases, check
from neo_cli.runtime import load

HERE = target("LINUX_X86_64")
# Operators of which each engine back end must take all but these.
LACKING: dict[str, set[str]] = {"onnxruntime": set(), "openvino": {"Det"}}
FAST = ("onnxruntime", "openvino")


@functools.cache
def prepared(name: str, folder: Path) -> tuple[Model, list[Case]]:
    model = optimize(loaded(MODELS[name](), folder / name.replace(" ", "-")), HERE, [].append, lambda *_: None)
    return model, cases(model, [].append)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def kept(backend: str, name: str, shared: Path, folder: Path) -> str:
    """Compile, lay out, load, check; returns "right" or the refusal."""
    model, feeds = prepared(name, shared)
    attempt = next(iter(attempts(model, HERE, {}, (backend,), folder, [].append)))
    if attempt.build is None:
        assert isinstance(attempt.error, OperatorNotImplemented | TargetUnavailable), attempt.error
        assert backend in attempt.error.message or "native" in attempt.error.message.lower(), attempt.error.message
        return attempt.error.message
    assert attempt.build.backend == backend and attempt.build.files
    with load(lay_out(attempt.build, model, HERE, 0, folder / "out")) as artifact:
        check(artifact.run, model, feeds, attempt.build.precision, None)
        assert [t["name"] for t in artifact.outputs] == [t.name for t in model.outputs]
    return "right"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", FAST)
def test_the_engines_take_every_common_operator(backend: str, name: str, shared: Path, tmp_path: Path) -> None:
    verdict = kept(backend, name, shared, tmp_path)
    assert (verdict == "right") == (name not in LACKING[backend]), verdict


@pytest.mark.slow
@pytest.mark.parametrize("backend", [b for b in BACKENDS if b not in FAST and b not in ("vendor", "coreml")])
def test_the_others_are_right_or_refuse(backend: str, shared: Path, tmp_path: Path) -> None:
    """Every sixth operator: each of these starts a compiler of its own."""
    verdicts = {name: kept(backend, name, shared, tmp_path / name.replace(" ", "-")) for name in list(MODELS)[::6]}
    assert verdicts
