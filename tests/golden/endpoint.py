"""A canned SageMaker endpoint (JSON 1.1) on a free port of 127.0.0.1: the one the recorded runs talked to."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ARN = "arn:aws:sagemaker:us-east-1:123456789012:compilation-job/"
T0 = 1700000000.123
REQUEST_ID = "11111111-2222-3333-4444-555555555555"

ERRORS = {
    "missing": (400, "ResourceNotFound", "Could not find compilation job with name missing"),
    "expired": (400, "ExpiredTokenException", "The security token included in the request is expired"),
    "denied": (
        400,
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: sagemaker:DescribeCompilationJob",
    ),
    "inuse": (400, "ResourceInUse", "Compilation job inuse already exists"),
    "limit": (400, "ResourceLimitExceeded", "The account-level service limit is 5"),
    "invalid": (
        400,
        "ValidationException",
        "1 validation error detected: Value 'invalid_' at 'compilationJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    ),
    "plain": (400, None, "no type field"),
    "boom": (500, "InternalFailure", "An internal error occurred"),
    "throttle": (400, "ThrottlingException", "Rate exceeded"),
}
MODELLED = ("ResourceNotFound", "ResourceInUse", "ResourceLimitExceeded")  # these spell Message with a capital

# scalars that YAML 1.1, YAML 1.2, JSON, tables and terminals each read differently
TRICKY = [
    *["no", "yes", "on", "off", "y", "n", "true", "True", "TRUE", "false", "null", "Null", "NULL", "~"], "", *["1", "-1", "+1", "1.0", "1.", ".5", "1e3", "1.5e+3", "012"],
    *["0o14", "0x1F", "0b11", "1_000", "1:30", "1:30.5", "2024-01-01"], "2024-01-01 00:00:00", "2024-01-01T00:00:00Z",
    *[".inf", "-.Inf", ".nan", "-", "--", "---", "..."], "- x", "?", "? x", ":", ": x", "a: b", "a:b", "a :b", "#c", "a #b", "a#b",
    *["!t", "&a", "*a", "%x", "@x", "`x", "|", ">"], '"q"', "'q'", "it's", "{a}", "[a]", "a,b", "=", "<<", " lead", "trail ",
    "multi\nline", "trailing nl\n", "\nlead nl", "tab\tx", "back\\slash", "\u00e9", "\U0001f600", "\u0085", "\u2028",
    "\u00a0", "\ufeffbom", "\x07", "\x1b[0m", "word " * 30, "x" * 120,
    "very long text with: colon and #hash that needs quoting because of the colon, and goes on past eighty columns for sure",
    '{"input0": [1, 3, 224, 224], "input1": [1, 3, 224, 224], "input2": [1, 3, 224, 224], "input3": [1, 3]}',
]  # fmt: skip

FAILURE = 'ClientError: InputConfiguration: r\u00e9seau \u65e5\u672c "quoted"\ttab\nnewline'
LONG = (
    "ClientError: OperatorNotImplemented: The following operators are not supported for frontend TensorFlow: "
    "{'ResizeNearestNeighbor', 'NonMaxSuppressionV3', 'CropAndResize'}. Please file an issue: see "
    "https://docs.aws.amazon.com/sagemaker/latest/dg/neo-troubleshooting-compilation.html for details, and note that "
    "this line is deliberately very long; it ends here."
)
IMAGE = "301217895009.dkr.ecr.us-east-1.amazonaws.com/sagemaker-inference-pytorch:1.8-cpu-py3"


def job(name: str) -> dict[str, Any]:
    """The job of that name; the first letters say in what state it is."""
    found: dict[str, Any] = {
        "CompilationJobName": name,
        "CompilationJobArn": ARN + name,
        "CompilationJobStatus": "COMPLETED",
        "CompilationStartTime": T0 + 60,
        "CompilationEndTime": T0 + 180.5,
        "StoppingCondition": {"MaxRuntimeInSeconds": 900},
        "InferenceImage": IMAGE,
        "CreationTime": T0,
        "LastModifiedTime": 1700000180,
        "FailureReason": "",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/out/model-ml_c5.tar.gz"},
        "ModelDigests": {"ArtifactDigest": "786a02f7"},
        "RoleArn": "arn:aws:iam::123456789012:role/NeoRole",
        "InputConfig": {
            "S3Uri": "s3://bucket/in/model.tar.gz",
            "DataInputConfig": '{"input0": [1, 3, 224, 224]}',
            "Framework": "PYTORCH",
            "FrameworkVersion": "1.8",
        },
        "OutputConfig": {
            "S3OutputLocation": "s3://bucket/out",
            "TargetDevice": "ml_c5",
            "CompilerOptions": '{"dtype": "float32"}',
        },
        "DerivedInformation": {"DerivedDataInputConfig": '{"input0": [1, 3, 224, 224]}'},
    }
    for start, change in (("fail", _failed), ("scramble", _scrambled), ("long", _long), ("prog", _in_progress)):
        if name.startswith(start):
            found = change(found)
    return found


def _failed(found: dict[str, Any]) -> dict[str, Any]:
    found |= {"CompilationJobStatus": "FAILED", "FailureReason": FAILURE}
    for key in ("InferenceImage", "ModelDigests", "DerivedInformation"):
        del found[key]
    found["OutputConfig"] = {
        "S3OutputLocation": "s3://bucket/out",
        "TargetPlatform": {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "NVIDIA"},
        "CompilerOptions": "{'gpu-code': 'sm_62'}",
        "KmsKeyId": "alias/x",
    }
    found["VpcConfig"] = {"SecurityGroupIds": ["sg-1", "sg-2"], "Subnets": ["subnet-1"]}
    return found


def _scrambled(found: dict[str, Any]) -> dict[str, Any]:
    """Members in the wrong order, one that is not modelled, and nulls."""
    found = dict(reversed(found.items()))
    found |= {"Unmodeled": {"x": 1}, "ModelPackageVersionArn": None, "VpcConfig": None}
    found["InputConfig"] = dict(reversed(found["InputConfig"].items()))
    found["StoppingCondition"] = {"MaxWaitTimeInSeconds": None, "MaxRuntimeInSeconds": 900}
    return found


def _long(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"CompilationJobStatus": "FAILED", "FailureReason": LONG}


def _in_progress(found: dict[str, Any]) -> dict[str, Any]:
    found["CompilationJobStatus"] = "INPROGRESS"
    for key in (
        "CompilationStartTime",
        "CompilationEndTime",
        "InferenceImage",
        "ModelDigests",
        "DerivedInformation",
    ):
        del found[key]
    return found


def summary(number: int) -> dict[str, Any]:
    """One line of the listing."""
    start = T0 + number * 100
    found: dict[str, Any] = {
        "CompilationJobName": f"job-{number}",
        "CompilationJobArn": f"{ARN}job-{number}",
        "CreationTime": start,
        "CompilationStartTime": start + 1,
        "CompilationEndTime": start + 50,
        "CompilationTargetDevice": "ml_c5",
        "LastModifiedTime": start + 51,
        "CompilationJobStatus": "COMPLETED",
    }
    if number == 3:
        del found["CompilationTargetDevice"], found["CompilationEndTime"]
        found |= {
            "CompilationJobStatus": "INPROGRESS",
            "CompilationTargetPlatformOs": "LINUX",
            "CompilationTargetPlatformArch": "ARM64",
            "CompilationTargetPlatformAccelerator": "NVIDIA",
        }
    return found


def answer(operation: str, request: dict[str, Any]) -> tuple[int, Any]:
    """(HTTP status, body) of one request."""
    name = request.get("CompilationJobName", "")
    if name == "html":
        return 502, "<html>bad gateway</html>"
    if name == "slow":
        time.sleep(5)
    if name in ERRORS:
        code, kind, message = ERRORS[name]
        if kind is None:
            return code, {"message": message}
        return code, {"__type": kind, "Message" if kind in MODELLED else "message": message}
    if operation == "ListCompilationJobs":
        return listing(request)
    if operation == "ListTags":
        if "tricky" in request["ResourceArn"]:
            return 200, {"Tags": [{"Key": f"k{i:02d}", "Value": v} for i, v in enumerate(TRICKY)]}
        some = [{"Key": "team", "Value": "\u00e9quipe"}, {"Key": "empty", "Value": ""}]
        return 200, {"Tags": [] if "notags" in request["ResourceArn"] else some}
    answers: dict[str, Any] = {
        "DescribeCompilationJob": lambda: job(name),
        "CreateCompilationJob": lambda: {"CompilationJobArn": ARN + name},
        "StopCompilationJob": lambda: None,
        "DeleteCompilationJob": lambda: None,
        "AddTags": lambda: {"Tags": request["Tags"]},
        "DeleteTags": dict,
    }
    if operation not in answers:
        return 400, {"__type": "UnknownOperationException"}
    return 200, answers[operation]()


def listing(request: dict[str, Any]) -> tuple[int, Any]:
    """Five jobs, two a page unless asked otherwise."""
    if request.get("NameContains") == "zzz":
        return 200, {"CompilationJobSummaries": []}
    token = str(request.get("NextToken") or 0)
    if not token.isdigit():
        return 400, {"__type": "ValidationException", "message": "Invalid token"}
    start, size = int(token), int(request.get("MaxResults") or 2)
    found: dict[str, Any] = {"CompilationJobSummaries": [summary(i) for i in range(start, min(5, start + size))]}
    if start + size < 5:
        found["NextToken"] = str(start + size)
    return 200, found


class Server(http.server.ThreadingHTTPServer):
    """The endpoint and the requests it has seen."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []

    @property
    def port(self) -> str:
        return str(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left (a read timeout) is part of the cases."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        target = self.headers.get("X-Amz-Target", "")
        auth = self.headers.get("Authorization")
        scope = "/".join(auth.split("/")[2:5]).split(",")[0] if auth else None
        self.server.requests.append({"target": target, "body": body, "scope": scope})
        status, found = answer(target.split(".")[-1], body)
        data = b"" if found is None else (found if isinstance(found, str) else json.dumps(found)).encode()
        self.send_response(status)
        self.send_header("x-amzn-RequestId", REQUEST_ID)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Server]:
    """A running endpoint."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
