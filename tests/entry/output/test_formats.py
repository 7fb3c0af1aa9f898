"""What every output format keeps to, and where they differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from neo_cli.base.errors import ConfigurationError, NeoError, ParamValidation
from neo_cli.base.table import resolve
from neo_cli.entry.context import Context
from neo_cli.entry.output import FORMATS
from neo_cli.entry.paging import pages

JOB = {
    "Unmodelled": 1,
    "StoppingCondition": {"MaxRuntimeInSeconds": 900},
    "VpcConfig": None,
    "CreationTime": 1700000000.123,
    "CompilationJobStatus": "FAILED",
    "FailureReason": "réseau 日本\ttab",
    "CompilationJobName": "job",
}
SUMMARIES = [{"CompilationJobName": f"job-{n}", "CompilationJobStatus": "COMPLETED"} for n in range(5)]


def listing(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """A service with five jobs, two a page."""
    start = int(params.get("NextToken", 0))
    page: dict[str, Any] = {"CompilationJobSummaries": SUMMARIES[start : start + 2]}
    return page | ({"NextToken": str(start + 2)} if start + 2 < len(SUMMARIES) else {})


def listed(**options: Any) -> Any:
    return pages(listing, "ListCompilationJobs", {}, options, Context())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_resolves_and_prints_nothing_for_nothing(name: str, printed: Any) -> None:
    assert callable(resolve(FORMATS[name]))
    assert printed("StopCompilationJob", [{}], name) == ""
    assert printed("DescribeCompilationJob", [JOB], name, query="VpcConfig || `{}`") == ""


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "off"])
def test_every_format_shows_the_values(name: str, printed: Any) -> None:
    text = printed("DescribeCompilationJob", [JOB], name)
    assert "FAILED" in text and "900" in text and "réseau 日本" in text and "Unmodelled" not in text
    assert text.endswith("\n")


def test_off_reads_every_page_and_prints_nothing(printed: Any) -> None:
    asked = []

    def call(operation: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append(dict(params))
        return listing(operation, params)

    assert printed("ListCompilationJobs", pages(call, "ListCompilationJobs", {}, {}, Context()), "off") == ""
    assert asked == [{}, {"NextToken": "2"}, {"NextToken": "4"}]


def test_json_is_in_model_order_without_nulls_and_strangers(printed: Any) -> None:
    text = printed("DescribeCompilationJob", [JOB], "json", environ={"TZ": "UTC"})
    assert list(json.loads(text)) == [
        "CompilationJobName", "CompilationJobStatus", "StoppingCondition", "CreationTime", "FailureReason",
    ]  # fmt: skip
    assert '"FailureReason": "réseau 日本\\ttab"' in text


def test_yaml_is_sorted_and_reads_back(printed: Any) -> None:
    text = printed("DescribeCompilationJob", [JOB], "yaml")
    assert [line.split(":")[0] for line in text.splitlines() if line[0] != " "] == sorted(yaml.safe_load(text))
    assert yaml.safe_load(text)["FailureReason"] == JOB["FailureReason"]


def test_a_query_works_once_on_the_whole_or_page_by_page(printed: Any) -> None:
    count = "length(CompilationJobSummaries)"
    assert printed("ListCompilationJobs", listed(), "json", count) == "5\n"
    assert printed("ListCompilationJobs", listed(), "yaml", count) == "5\n"
    assert printed("ListCompilationJobs", listed(), "text", count) == "2\n2\n1\n"
    assert printed("ListCompilationJobs", listed(), "yaml-stream", count) == "- 2\n- 2\n- 1\n"
    assert "5" not in printed("ListCompilationJobs", listed(), "table", count)  # AWS drops a lone value


def test_a_cut_listing_says_how_to_go_on(printed: Any) -> None:
    token = "eyJOZXh0VG9rZW4iOiAiMiIsICJib3RvX3RydW5jYXRlX2Ftb3VudCI6IDF9"
    assert json.loads(printed("ListCompilationJobs", listed(max_items=3), "json"))["NextToken"] == token
    assert printed("ListCompilationJobs", listed(max_items=3), "text").endswith(f"NEXTTOKEN\t{token}\n")
    assert token not in printed("ListCompilationJobs", listed(max_items=3), "yaml-stream")


def test_a_query_on_nothing_is_null(printed: Any) -> None:
    assert printed("StopCompilationJob", [{}], "json", "Foo") == "null\n"
    assert printed("StopCompilationJob", [{}], "yaml", "Foo") == "null\n"
    assert printed("StopCompilationJob", [{}], "text", "Foo") == "None\n"


def test_a_bad_query_is_refused_before_anything_is_asked(printed: Any) -> None:
    def never() -> Any:
        raise AssertionError("asked")
        yield

    for query, words in (("foo[", "Invalid jmespath expression: Incomplete expression"), ("", "cannot be empty.")):
        with pytest.raises(ParamValidation, match=f"^Bad value for --query {query.replace('[', '.')}: .*{words}"):
            printed("DescribeCompilationJob", never(), "json", query)
    with pytest.raises(ConfigurationError, match='Unknown cli_timestamp_format value: foo, valid values are "wire" or'):
        printed("DescribeCompilationJob", never(), "json", config="[default]\ncli_timestamp_format = foo\n")
    with pytest.raises(NeoError, match=r"^In function length"):
        printed("DescribeCompilationJob", [JOB], "json", "length(StoppingCondition.MaxRuntimeInSeconds)")


def test_an_unknown_format_is_refused_after_the_request(printed: Any) -> None:
    asked = []

    def once() -> Any:
        asked.append(1)
        yield JOB

    with pytest.raises(NeoError, match=r"^Unknown output type: xml$"):
        printed("DescribeCompilationJob", once(), "xml")
    assert asked == [1]


def test_the_output_encoding_can_be_chosen(printed: Any) -> None:
    tags = [{"Tags": [{"Key": "team", "Value": "équipe"}]}]
    assert "équipe" in printed("ListTags", tags, "json", environ={"AWS_CLI_OUTPUT_ENCODING": "latin-1"})
    with pytest.raises(NeoError, match=r"^Unknown codec `zzz` specified for AWS_CLI_OUTPUT_ENCODING.$"):
        printed("ListTags", tags, "json", environ={"AWS_CLI_OUTPUT_ENCODING": "zzz"})
