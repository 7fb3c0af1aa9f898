"""What every front end promises: bad archives end in InputError with one sentence, and nothing is written beside them."""

from pathlib import Path

import pytest

from compiling import loaded
from models.builders import BUILDERS
from neo_cli.base.errors import InputError
from neo_cli.base.table import resolve
from neo_cli.frontends import FRONTENDS
from neo_cli.model import feeds
from neo_cli.model.model import Source
from neo_cli.model.verify import verify

GARBAGE = {
    "empty": {},
    "readme": {"readme.txt": b"hello"},
    "hidden only": {".DS_Store": b"x"},
    "noise": {f"model{suffix}": bytes(range(256)) for suffix in (".onnx", ".pth", ".h5", ".tflite", ".pb", ".cfg", ".weights", ".joblib")},
    "pointers": {
        f"model{suffix}": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
        for suffix in (".onnx", ".pth", ".h5", ".tflite", ".joblib")
    },
}  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("framework", FRONTENDS)
def test_an_archive_without_a_model_is_the_users_mistake(framework: str, garbage: str, tmp_path: Path) -> None:
    for name, data in GARBAGE[garbage].items():
        (tmp_path / name).write_bytes(data)
    before = sorted(p.name for p in tmp_path.iterdir())
    try:
        load = resolve(FRONTENDS[framework])
    except ImportError as absent:
        pytest.skip(f"not installed: {absent}")
    with pytest.raises(InputError) as caught:
        load(Source(framework, tmp_path, trusted=True), None)
    assert caught.value.reason.startswith("ClientError: InputConfiguration: ")
    assert "Traceback" not in caught.value.message and "\n\n" not in caught.value.message
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", BUILDERS)
def test_a_model_fits_its_own_oracle(name: str, tmp_path: Path) -> None:
    model = verify(loaded(BUILDERS[name](True), tmp_path))
    feed = next(iter(feeds.seeded(model)))[1]
    answers = model.oracle(feed)
    assert list(answers) == [t.name for t in model.outputs]
    for tensor in model.outputs:
        assert (answers[tensor.name].shape, answers[tensor.name].dtype.name) == (tensor.shape, tensor.dtype)
