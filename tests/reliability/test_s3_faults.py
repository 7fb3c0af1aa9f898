"""S3 that refuses in the middle, and objects that change under a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import InputError, InternalError
from neo_cli.worker.locations import s3
from worker.locations.test_s3 import LIMIT, MARK, bucket, endpoint

__all__ = ["bucket", "endpoint"]


class Refusing:
    """A client whose `step` answers 403, as S3 does when the policy forbids it."""

    def __init__(self, real: Any, step: str, after: int = 0) -> None:
        self._real, self._step, self._left = real, step, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name != self._step:
            return method
        if self._left:
            self._left -= 1
            return method
        from botocore.exceptions import ClientError

        def refuse(**_: Any) -> None:
            answer = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, name)  # type: ignore[arg-type]

        return refuse


@pytest.mark.parametrize(
    ("step", "after"), [("create_multipart_upload", 0), ("upload_part", 1), ("complete_multipart_upload", 0)]
)
def test_an_output_that_is_refused_leaves_no_upload(
    bucket: str, step: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = s3.client()
    refusing = Refusing(real, step, after)
    monkeypatch.setattr(s3, "PART", 5 * 2**20)
    monkeypatch.setattr(s3, "client", lambda name=None: refusing)
    (tmp_path / "f").write_bytes(bytes(6 * 2**20))
    with pytest.raises(InputError, match=r"Access denied while writing s3://models/k \(AccessDenied\)"):
        prepared = s3.prepare(f"s3://{bucket}/k", tmp_path / "f", MARK)
        try:
            prepared.commit()
        finally:
            prepared.abort()
    assert "Uploads" not in real.list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in real.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(("changes", "good"), [(1, True), (99, False)])
def test_an_object_that_changes_is_read_again_then_given_up(
    bucket: str, changes: int, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 19: changed between the look and the read, by whoever writes there."""
    real = s3.client()
    real.put_object(Bucket=bucket, Key="k", Body=b"first")
    left = [changes]

    class Meddled:
        def __getattr__(self, name: str) -> Any:
            if name == "get_object" and left[0]:
                left[0] -= 1
                real.put_object(Bucket=bucket, Key="k", Body=b"other" + str(left[0]).encode())
            return getattr(real, name)

    monkeypatch.setattr(s3, "client", lambda name=None: Meddled())
    if good:
        assert s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT).path.read_bytes() == b"other0"
    else:
        with pytest.raises(InternalError, match="changed again and again while it was read"):
            s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT)


@pytest.mark.parametrize("sent", [True, False])
def test_an_answer_that_is_lost_is_not_an_object_that_is_lost(
    bucket: str, sent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 47's neighbour: S3 made the object and the connection broke; tried again, the upload is not known any more."""
    real = s3.client()

    class Deaf:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def complete_multipart_upload(self, **given: Any) -> None:
            from botocore.exceptions import ClientError

            if sent:
                real.complete_multipart_upload(**given)
            answer = {"Error": {"Code": "NoSuchUpload", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "CompleteMultipartUpload")  # type: ignore[arg-type]

    monkeypatch.setattr(s3, "client", lambda name=None: Deaf())
    (tmp_path / "f").write_bytes(b"x")
    prepared = s3.prepare(f"s3://{bucket}/k", tmp_path / "f", MARK)
    if sent:
        prepared.commit()
        assert prepared.etag
    else:
        with pytest.raises(InputError, match="NoSuchUpload"):
            prepared.commit()


def test_the_version_that_was_seen_first_is_the_one_that_is_read(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 19 where the bucket keeps versions: a newer one that comes between the look and the read is not taken."""
    real = s3.client()
    real.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = real.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]

    class Meddled:
        def __getattr__(self, name: str) -> Any:
            if name == "get_object":
                real.put_object(Bucket=bucket, Key="k", Body=b"newer")
            return getattr(real, name)

    monkeypatch.setattr(s3, "client", lambda name=None: Meddled())
    fetched = s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT)
    assert fetched.path.read_bytes() == b"first" and fetched.version == first
    assert real.get_object(Bucket=bucket, Key="k")["Body"].read() == b"newer"


@pytest.mark.parametrize("step", ["head_object", "get_object"])
def test_an_input_that_may_not_be_read_is_the_callers_fault(
    bucket: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 35."""
    real = s3.client()
    real.put_object(Bucket=bucket, Key="k", Body=b"x")
    monkeypatch.setattr(s3, "client", lambda name=None: Refusing(real, step))
    with pytest.raises(InputError, match=r"Access denied while reading s3://models/k \(AccessDenied\)"):
        s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT)
