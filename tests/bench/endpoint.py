"""A SageMaker endpoint on 127.0.0.1 for benchmarks: one job to describe, and a listing as long as wanted.

usage: python tests/bench/endpoint.py JOBS        prints its port, then serves until it is stopped
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ARN = "arn:aws:sagemaker:us-east-1:123456789012:compilation-job/"
CREATED = 1700000000.123
PAGE = 100


def description(name: str) -> dict[str, Any]:
    """A finished job."""
    return {
        "CompilationJobName": name, "CompilationJobArn": ARN + name, "CompilationJobStatus": "COMPLETED",
        "CompilationStartTime": CREATED + 60, "CompilationEndTime": CREATED + 180.5, "CreationTime": CREATED,
        "LastModifiedTime": CREATED + 181, "StoppingCondition": {"MaxRuntimeInSeconds": 900}, "FailureReason": "",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/out/model-ml_c5.tar.gz"},
        "RoleArn": "arn:aws:iam::123456789012:role/NeoRole",
        "InputConfig": {"S3Uri": "s3://bucket/in/model.tar.gz", "DataInputConfig": "{}", "Framework": "ONNX"},
        "OutputConfig": {"S3OutputLocation": "s3://bucket/out", "TargetDevice": "ml_c5"},
    }  # fmt: skip


def summary(number: int) -> dict[str, Any]:
    """One line of a listing."""
    name, created = f"job-{number}", CREATED + number * 100
    return {
        "CompilationJobName": name, "CompilationJobArn": ARN + name, "CreationTime": created,
        "CompilationStartTime": created + 1, "CompilationEndTime": created + 50, "CompilationTargetDevice": "ml_c5",
        "LastModifiedTime": created + 51, "CompilationJobStatus": "COMPLETED",
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """AWS JSON 1.1, two operations."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for the client's delayed acknowledgement
    wbufsize = -1
    jobs = 0

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Amz-Target"] == "SageMaker.DescribeCompilationJob":
            self.answer(description(request["CompilationJobName"]))
            return
        start = int(request.get("NextToken", 0))
        end = min(start + PAGE, self.jobs)
        listing: dict[str, Any] = {"CompilationJobSummaries": [summary(n) for n in range(start, end)]}
        self.answer(listing | ({"NextToken": str(end)} if end < self.jobs else {}))

    def answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    Handler.jobs = int(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
