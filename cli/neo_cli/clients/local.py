"""The engine on this machine: requests are answered in this process, work goes on in runners."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from neo_cli.api import shapes
from neo_cli.base.errors import ParamValidation
from neo_cli.clients.base import Surroundings, endpoint, region
from neo_cli.jobs import launch, places
from neo_cli.jobs.opened import open_store
from neo_cli.jobs.service import Service
from neo_cli.jobs.stores.base import Store, StoreBusy

READS = ("DescribeCompilationJob", "ListCompilationJobs", "ListTags")


class LocalClient:
    """`call(operation, params)` against the job store; every call also reaps and starts runners as needed."""

    def __init__(self, context: Surroundings, now: Callable[[], float] = time.time, cwd: str | None = None) -> None:
        self._context = context
        self._environ: Mapping[str, str] = context.environ
        self._region = region(context).value
        self._now, self._cwd = now, cwd

    def call(self, operation: str, params: Mapping[str, Any], *, trust_model: bool = False) -> dict[str, Any]:
        """Answer one request. ParamValidation for what botocore would not send, ServiceErrors for refusals."""
        faults = shapes.client_faults(operation, params)
        if faults:
            raise ParamValidation("Parameter validation failed:\n" + "\n".join(faults))
        request = self._placed(shapes.to_wire(operation, params))
        launch.slots(self._environ)  # a wrong setting is told before anything is written
        store = open_store(self._environ)
        try:
            if operation in READS:  # what is read is true: a lost attempt is not shown as one that goes on
                launch.look(store, self._environ, self._now())
            answer = self._service(store, operation).call(operation, request, trust_model)
            if operation not in READS:
                with suppress(StoreBusy):  # what was asked for is done; the next command looks again
                    launch.look(store, self._environ, self._now())
        finally:
            store.close()
        return answer

    def _service(self, store: Store, operation: str) -> Service:
        environ = self._environ
        if operation == "CreateCompilationJob":  # the runner asks where this line said to
            said = {
                "AWS_ENDPOINT_URL_SAGEMAKER": endpoint(self._context).value, "AWS_PROFILE": self._context.option("profile"),
                "AWS_REGION": self._region,
            }  # fmt: skip
            environ = {**environ, **{name: value for name, value in said.items() if value}}
        return Service(store, self._now, self._region, environ)

    def _placed(self, params: dict[str, Any]) -> dict[str, Any]:
        """The request with its local places absolute: the runner works elsewhere."""
        cwd, home = self._cwd or os.getcwd(), self._environ.get("HOME", "")
        for member, key in (("InputConfig", "S3Uri"), ("OutputConfig", "S3OutputLocation")):
            part = params.get(member)
            if isinstance(part, dict) and isinstance(part.get(key), str) and part[key]:
                params[member] = {**part, key: places.absolute(part[key], cwd, home)}
        return params
