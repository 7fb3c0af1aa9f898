"""The inputs of the check: within range, the same every time, and the user's own."""

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from compiling import loaded, one_node
from models.builders import BUILDERS
from neo_cli.base.errors import InputError
from neo_cli.model import feeds


def test_feeds_are_the_same_every_time(tmp_path: Path) -> None:
    model = loaded(BUILDERS["yolo"](True), tmp_path)
    for (_, one), (_, two) in zip(feeds.seeded(model), feeds.seeded(model)):
        np.testing.assert_array_equal(one["images"], two["images"])


def test_token_ids_stay_within_their_table_and_use_it(tmp_path: Path) -> None:
    model = loaded(BUILDERS["bert"](True), tmp_path)
    drawn = [feed for _, feed in feeds.seeded(model)]
    ids = np.concatenate([f["input_ids"].ravel() for f in drawn])
    assert ids.min() >= 0 and 50 < ids.max() < 100
    assert set(np.unique(drawn[0]["attention_mask"])) == {0, 1}
    assert drawn[0]["attention_mask"][0, 0] == 1


def test_one_hot_and_element_indices_stay_within_depth(tmp_path: Path) -> None:
    hot = one_node(
        "OneHot",
        {"i": ([4], TensorProto.INT64)},
        {"y": ([4, 3],)},
        {"d": np.array(3, np.int64), "v": np.array([0, 1], np.float32)},
    )
    gather = one_node(
        "GatherElements",
        {"i": ([1, 4], TensorProto.INT64)},
        {"y": ([1, 4],)},
        {"t": np.ones((1, 5), np.float32)},
        order=["t", "i"],
        axis=1,
    )
    for graph, top in ((hot, 3), (gather, 5)):
        for _, feed in feeds.seeded(loaded(graph, tmp_path)):
            assert feed["i"].min() >= 0 and feed["i"].max() < top


def test_a_free_batch_is_checked_at_three_and_at_one(tmp_path: Path) -> None:
    model = loaded(one_node("Relu", {"x": (["n", 2],)}, {"y": (["n", 2],)}), tmp_path, '{"x":[-1,2]}')
    assert [len(feed["x"]) for _, feed in feeds.seeded(model)][:2] == [3, 1]


def test_nudged_inputs_are_neighbours() -> None:
    given = {"x": np.array([1.0, -2.0, 0.0], np.float32), "i": np.array([3])}
    moved = feeds.nudged(given)
    assert moved is not None and moved["i"] is given["i"]
    assert np.all(moved["x"] != given["x"]) and np.allclose(moved["x"], given["x"], rtol=1e-6, atol=1e-30)
    assert feeds.nudged({"i": np.array([3])}) is None
    far = feeds.nudged(given, 40)
    assert far is not None
    steps = np.abs(far["x"] - given["x"])[:2] / np.spacing(np.abs(given["x"][:2]))
    assert np.all((steps >= 20) & (steps <= 40))  # below a power of two neighbours are half as far


def samples(tmp_path: Path, **arrays: np.ndarray) -> list[dict[str, np.ndarray]]:
    model = loaded(one_node("Relu", {"x": ([1, 2],)}, {"y": ([1, 2],)}), tmp_path)
    np.savez(tmp_path / "samples.npz", **arrays)
    return [feed for _, feed in feeds.samples(replace(model, samples=tmp_path / "samples.npz"))]


@pytest.mark.parametrize(("shape", "count"), [((1, 2), 1), ((5, 1, 2), 5), ((7, 2), 7), ((40, 2), feeds.MAX_SAMPLES)])
def test_samples_are_one_input_or_rows_of_it(shape: tuple[int, ...], count: int, tmp_path: Path) -> None:
    found = samples(tmp_path, x=np.ones(shape, np.float64))
    assert len(found) == count
    assert all(f["x"].shape == (1, 2) and f["x"].dtype == np.float32 for f in found)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": np.ones((1, 2))}, "holds z; the model's inputs are x"),
        ({"x": np.ones((1, 3))}, "the shape [1, 3]; the model wants [1, 2]"),
        ({"x": np.array([{"code": 1}], object)}, "cannot be read"),
    ],
)
def test_samples_that_do_not_fit_are_told(arrays: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        samples(tmp_path, **arrays)
    assert words in caught.value.message


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"x": 1})])
def test_a_samples_file_that_is_none_is_told(content: bytes, tmp_path: Path) -> None:
    model = loaded(one_node("Relu", {"x": ([1, 2],)}, {"y": ([1, 2],)}), tmp_path)
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        list(feeds.samples(replace(model, samples=tmp_path / "samples.npz")))


def test_a_samples_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(one_node("Relu", {"x": ([1, 2],)}, {"y": ([1, 2],)}), tmp_path)
    monkeypatch.setattr(feeds, "SAMPLE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "samples.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(5000))
    with pytest.raises(InputError, match="unpacks to more than"):
        list(feeds.samples(replace(model, samples=tmp_path / "samples.npz")))
