"""InferenceImage: the ECR image that AWS names for a compiled model on an ml_* target.

Account numbers, repositories and versions are those of the SageMaker Python SDK v2.257.6 (image_uri_config) and of
the developer guide's table of Neo inference images; a combination found in neither gets no image.
"""

from __future__ import annotations

from neo_cli.targets.devices import Target

ACCOUNTS = {
    "af-south-1": "774647643957", "ap-east-1": "110948597952", "ap-northeast-1": "941853720454",
    "ap-northeast-2": "151534178276", "ap-northeast-3": "925152966179", "ap-south-1": "763008648453",
    "ap-southeast-1": "324986816169", "ap-southeast-2": "355873309152", "ca-central-1": "464438896020",
    "cn-north-1": "472730292857", "cn-northwest-1": "474822919863", "eu-central-1": "746233611703",
    "eu-central-2": "010526262399", "eu-north-1": "601324751636", "eu-south-1": "966458181534",
    "eu-west-1": "802834080501", "eu-west-2": "205493899709", "eu-west-3": "254080097072",
    "il-central-1": "275950707576", "me-south-1": "836785723513", "sa-east-1": "756306329178",
    "us-east-1": "785573368785", "us-east-2": "007439368137", "us-gov-east-1": "227234621604",
    "us-gov-west-1": "263933020539", "us-iso-east-1": "167761179201", "us-isob-east-1": "406031935815",
    "us-isof-east-1": "751086301963", "us-isof-south-1": "935523707064", "us-west-1": "710691900526",
    "us-west-2": "301217895009",
}  # fmt: skip

# framework -> (repository, default version, {short version: image version})
_CPU_GPU: dict[str, tuple[str, str, dict[str, str]]] = {
    "KERAS": ("sagemaker-neo-keras", "2.2.4", {"2.2": "2.2.4"}),
    "MXNET": ("sagemaker-inference-mxnet", "1.8", {"1.8": "1.8"}),
    "ONNX": ("sagemaker-neo-onnx", "1.5.0", {}),
    "PYTORCH": (
        "sagemaker-inference-pytorch",
        "1.6",
        {v: v for v in ("1.4", "1.5", "1.6", "1.7", "1.8", "1.12", "1.13", "2.0")},
    ),
    "TENSORFLOW": ("sagemaker-inference-tensorflow", "1.15.3", {"1.15": "1.15.3", "2.9": "2.9.2", "2.4": "2.9.2"}),
}


def inference_image(framework: str, version: str | None, target: Target, region: str) -> str | None:
    """The image's URI for `region`, or None when the target is no cloud target or AWS lists no image."""
    account = ACCOUNTS.get(region)
    if not target.cloud or account is None or target.refuse or not target.name.startswith("ml_"):
        return None
    host = f"{account}.dkr.ecr.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    if framework == "XGBOOST":
        return f"{host}/xgboost-neo:latest"
    if framework not in _CPU_GPU:
        return None
    repository, default, versions = _CPU_GPU[framework]
    short = ".".join(version.split(".")[:2]) if version else ""
    processor = "gpu" if target.accelerator == "NVIDIA" else "cpu"
    return f"{host}/{repository}:{versions.get(short, default)}-{processor}-py3"
