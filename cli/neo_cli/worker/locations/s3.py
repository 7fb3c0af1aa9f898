"""`s3://bucket/key` through boto3: any endpoint, pinned versions, checksums, and uploads that appear all at once.

An upload is two steps, so that the store's fence lies between them: `prepare` sends every part of a multipart upload
(nothing is visible yet), `commit` completes it and looks at the object; `abort` leaves nothing behind. The object
carries the job, the attempt and the digest as metadata, by which a later attempt recognises its own work.
Endpoint, region, addressing style and credentials come from the environment and ~/.aws as botocore reads them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError, InternalError, JobError
from neo_cli.worker.locations import checksums
from neo_cli.worker.locations.base import CredentialsExpired, Fetched, unnoted

PART = 16 * 2**20
CHUNK = 2**20
TRIES = 3  # of a download that breaks off or whose object changed under it
ATTEMPTS = 5  # of each request, with botocore's back-off
CONFIGURED = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled")
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI; the key keeps every character, encoded or not."""
    found = re.fullmatch(r"s3://([^/]+)/?(.*)", uri, re.DOTALL)
    if not found:
        raise InputError(f"'{uri}' is no s3://bucket/key URI.")
    return found[1], found[2]


def client(bucket: str | None = None) -> Any:
    """A client for `bucket`: in the bucket's own region when AWS says that it is another one.

    Each has a session of its own, which reads the credentials anew: they may have been renewed since the last one.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    # CRC trailers are refused by servers that do not know them; they are sent only where the API demands one.
    config = Config(
        retries=retries,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=10,
        read_timeout=60,
    )
    session = boto3.session.Session()
    named = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
    made = session.client("s3", config=config, region_name=named)
    if bucket is None:
        return made
    try:
        made.head_bucket(Bucket=bucket)
    except ClientError as error:
        region = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        if region and region != made.meta.region_name:
            return session.client("s3", config=config, region_name=region)
    return made


@contextlib.contextmanager
def _explained(uri: str, doing: str) -> Iterator[None]:
    """botocore's errors as failure reasons: the caller's fault by S3's code, the rest the machine's."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    bucket, key = split(uri)
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in ("404", "NoSuchKey", "NotFound", "NoSuchVersion"):
            raise InputError(f"S3 object does not exist. Bucket: {bucket}, Key: {key}") from error
        if code == "NoSuchBucket":
            raise InputError(f"S3 bucket does not exist. Bucket: {bucket}") from error
        if code in EXPIRED:
            raise CredentialsExpired(f"The credentials expired while {doing} {uri} ({code}).") from error
        if code in CONFIGURED:
            raise InputError(f"Access denied while {doing} {uri} ({code}).") from error
        kind = InternalError if status >= 500 else InputError
        raise kind(
            f"S3 answered {code or status} while {doing} {uri}: {error.response.get('Error', {}).get('Message', '')}"
        ) from error
    except NoCredentialsError as error:
        raise InputError(f"There are no AWS credentials for {doing} {uri}.") from error
    except BotoCoreError as error:
        raise InternalError(f"S3 could not be reached while {doing} {uri}: {error}") from error


def fetch(uri: str, into: Path, limit: int) -> Fetched:
    """Download the object to the file `into`; more than `limit` bytes are refused before and while they come.

    The version (or the ETag, where the bucket keeps no versions) seen first is the one that is read; a body that
    breaks off is taken up again where it ended. Raises InputError or InternalError.
    """
    bucket, key = split(uri)
    with _explained(uri, "reading"):
        service, damaged = client(bucket), False
        for _ in range(TRIES):
            head = _head(service, bucket, key)
            if head["ContentLength"] > limit:
                raise InputError(f"The input archive is {head['ContentLength']} bytes; at most {limit} are accepted.")
            version = head.get("VersionId") if head.get("VersionId") != "null" else None
            pin: dict[str, Any] = {"VersionId": version} if version else {"IfMatch": head["ETag"]}
            if _download(service, bucket, key, pin, head["ContentLength"], into):
                if checksums.kept(head, into):
                    return Fetched(into, head["ContentLength"], version)
                damaged = True
    if damaged:
        raise InternalError(f"{uri} arrived damaged again and again: its bytes do not have the checksum that S3 keeps.")
    raise InternalError(f"{uri} changed again and again while it was read.")


def _head(service: Any, bucket: str, key: str) -> Any:
    """The object's head. An answer to HEAD has no body, so a refusal with 400 (expired credentials are one) says
    nothing; the same is asked by GET then, which raises with S3's code."""
    from botocore.exceptions import ClientError

    try:
        return service.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "400":
            service.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        raise


def _download(service: Any, bucket: str, key: str, pin: Mapping[str, Any], size: int, into: Path) -> bool:
    """True when all bytes lie in `into`; False when the object changed meanwhile. A server may not know ranges."""
    from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    have, broken = 0, 0
    with into.open("wb") as stream:
        while have < size:
            try:
                answer = service.get_object(Bucket=bucket, Key=key, Range=f"bytes={have}-", **pin)
                if have and not answer.get("ContentRange", "").startswith(f"bytes {have}-"):
                    have = stream.seek(0)  # it is the whole object once more
                    stream.truncate()
                for block in answer["Body"].iter_chunks(CHUNK):
                    have += len(block)
                    if have > size:
                        raise InternalError(
                            f"S3 sends more than the {size} bytes that it says s3://{bucket}/{key} has."
                        )
                    stream.write(block)
                if have < size:
                    raise IncompleteReadError(actual_bytes=have, expected_bytes=size)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "PreconditionFailed":
                    return False
                raise
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                broken += 1
                if broken > ATTEMPTS:
                    raise
    return True


@dataclass
class Prepared:
    """An upload whose parts all lie at the server and whose object is not visible yet."""

    uri: str
    service: Any
    upload: str
    parts: list[dict[str, Any]]
    size: int
    metadata: Mapping[str, str]
    kms: str | None
    etag: str | None = field(default=None)
    version: str | None = field(default=None)

    def commit(self) -> None:
        """Make the object visible and look at it; a server that dropped the encryption asked for fails the job."""
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, key = split(self.uri)
        with _explained(self.uri, "writing"):
            self.service = client(bucket)  # the credentials of `prepare` may have expired
            try:
                self.service.complete_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=self.upload, MultipartUpload={"Parts": self.parts}
                )
            except (ClientError, BotoCoreError):
                if not holds(self.uri, self.metadata):  # else the answer was lost, and not the object
                    raise
            # with a KMS key, asking for the checksum needs the right to decrypt, which a writer may lack
            asked = {} if self.kms else {"ChecksumMode": "ENABLED"}
            head = self.service.head_object(Bucket=bucket, Key=key, **asked)
            if head["ContentLength"] != self.size:
                raise InternalError(f"{self.uri} has {head['ContentLength']} bytes after {self.size} were sent.")
            sent = checksums.of_parts([part["ChecksumSHA256"] for part in self.parts])
            if head.get("ChecksumSHA256", sent).split("-")[0] != sent:
                raise InternalError(f"{self.uri} has another checksum than the bytes that were sent.")
            if self.kms and not _encrypted(head, self.kms):
                self.service.delete_object(Bucket=bucket, Key=key)
                raise InputError(
                    f"The server did not encrypt {self.uri} with the KMS key that the request names, so the object was removed."
                )
        self.etag, self.version = head["ETag"], head.get("VersionId")

    def abort(self) -> None:
        """Leave nothing behind; what is gone already is no error."""
        with contextlib.suppress(JobError):
            discard(self.uri, self.upload, self.service)


def _encrypted(head: Mapping[str, Any], kms: str) -> bool:
    """Whether the object is encrypted by the key asked for; an alias cannot be compared with the key it stands for."""
    if head.get("ServerSideEncryption") != "aws:kms":
        return False
    used, wanted = str(head.get("SSEKMSKeyId", "")), kms.rsplit("/", 1)[-1]
    return "alias/" in kms or not used or "alias/" in used or used.rsplit("/", 1)[-1] == wanted


def discard(uri: str, upload: str, service: Any = None) -> None:
    """Abort an upload, whoever began it; the attempt that did may be gone. JobError when S3 could not be asked."""
    from botocore.exceptions import ClientError

    bucket, key = split(uri)
    with _explained(uri, "clearing up"):
        try:
            (service or client(bucket)).abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("NoSuchUpload", "NoSuchBucket", "NoSuchKey", "404"):
                raise


def prepare(
    uri: str, file: Path, metadata: Mapping[str, str], kms: str | None = None, begun: Callable[[str], None] = unnoted
) -> Prepared:
    """Send `file` as a multipart upload to the final key, invisible until `commit`; each part with its MD5 and SHA-256.

    An error on the way aborts the upload before it is raised.
    """
    import base64
    import hashlib

    bucket, key = split(uri)
    secret = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms} if kms else {}
    with _explained(uri, "writing"):
        service = client(bucket)
        upload = service.create_multipart_upload(
            Bucket=bucket, Key=key, Metadata=dict(metadata), ContentType="application/gzip", ChecksumAlgorithm="SHA256",
            **secret,
        )["UploadId"]  # fmt: skip
    prepared = Prepared(uri, service, upload, [], file.stat().st_size, metadata, kms)
    try:
        begun(upload)
        with _explained(uri, "writing"), file.open("rb") as stream:
            number = 1
            while (block := stream.read(PART)) or number == 1:
                check = base64.b64encode(hashlib.md5(block, usedforsecurity=False).digest()).decode()
                strong = checksums.sha256(block)
                part = service.upload_part(
                    Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=block, ContentMD5=check, ChecksumSHA256=strong
                )  # fmt: skip
                prepared.parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": strong})
                number += 1
    except BaseException:
        prepared.abort()
        raise
    return prepared


def holds(uri: str, metadata: Mapping[str, str]) -> bool:
    """Whether the object at `uri` is the one with this metadata: work of ours that was published before.

    Raises JobError when S3 does not say: it is away, or the credentials do not reach so far.
    """
    from botocore.exceptions import ClientError

    bucket, key = split(uri)
    with _explained(uri, "looking for what was published at"):
        try:
            found = client(bucket).head_object(Bucket=bucket, Key=key).get("Metadata", {})
        except ClientError as error:
            if error.response["ResponseMetadata"].get("HTTPStatusCode") != 404:
                raise
            return False
    return all(found.get(name) == value for name, value in metadata.items())


class S3Location:
    """s3:// URIs."""

    def fetch(self, uri: str, into: Path, limit: int) -> Fetched:
        return fetch(uri, into, limit)

    def prepare(
        self, uri: str, file: Path, metadata: Mapping[str, str], kms: str | None, begun: Callable[[str], None] = unnoted
    ) -> Prepared:
        return prepare(uri, file, metadata, kms, begun)

    def discard(self, uri: str, piece: str) -> None:
        discard(uri, piece)

    def holds(self, uri: str, metadata: Mapping[str, str]) -> bool:
        return holds(uri, metadata)
