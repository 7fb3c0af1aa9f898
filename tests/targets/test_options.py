"""CompilerOptions: both written forms, every key, and one sentence for every mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import ValidationException
from neo_cli.targets.devices import targets
from neo_cli.targets.images import inference_image
from neo_cli.targets.options import OPTIONS, parse_options

C5 = targets()["ml_c5"]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (None, {}),
        ('{"mcpu": "core-avx2"}', {"mcpu": "core-avx2"}),
        ("{'mattr': ['+neon', '+vfpv4']}", {"mattr": ["+neon", "+vfpv4"]}),
        (
            "{'gpu-code': 'sm_62', 'trt-ver': '6.0.1', 'cuda-ver': '10.0'}",
            {"gpu_code": "sm_62", "trt_ver": "6.0.1", "cuda_ver": "10.0"},
        ),
        ('{"gpu_code": ["sm_70"]}', {"gpu_code": "sm_70"}),
        ("{'ANDROID_PLATFORM': 27}", {"android_platform": 27}),
        ("{'JETPACK_VERSION': '4.6'}", {"jetpack_version": "4.6"}),
        ('{"DTYPE": "float32"}', {"dtype": "float32"}),
        ('{"class_labels": "imagenet_labels_1000.txt"}', {"class_labels": "imagenet_labels_1000.txt"}),
        (
            '{"output_names": ["output_tensor:0"], "signature_def_key": "serving"}',
            {"output_names": ["output_tensor:0"], "signature_def_key": "serving"},
        ),
        (
            '{"backend": "onnxruntime", "gate": 0.01, "precision": "auto"}',
            {"backend": "onnxruntime", "gate": 0.01, "precision": "auto"},
        ),
    ],
)
def test_documented_forms_are_understood(text: str | None, options: dict[str, object]) -> None:
    assert parse_options(text, C5) == options


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "CompilerOptions must be a JSON object."),
        ("nonsense", "CompilerOptions is neither JSON nor the documented single-quoted form."),
        ('{"mcpu": "x; rm -rf /"}', "CompilerOptions: 'mcpu': expected a value such as 'core-avx2'."),
        ('{"mcpu": "$(id)"}', "CompilerOptions: 'mcpu': expected a value such as 'core-avx2'."),
        ('{"mattr": ["neon"]}', "CompilerOptions: 'mattr': expected features such as '+neon', not 'neon'."),
        (
            '{"class_labels": "../labels.txt"}',
            "CompilerOptions: 'class_labels': expected the name of a file inside the input archive.",
        ),
        ('{"gate": 0}', "CompilerOptions: 'gate': expected a number above 0 and at most 1."),
        ('{"gpu-code": "sm_53", "gpu_code": "sm_62"}', "CompilerOptions: the key 'gpu_code' is given twice."),
        (
            '"--verbose 1"',
            "CompilerOptions must be a JSON object for this target; a string of flags is for ml_inf1, ml_inf2 and ml_trn1.",
        ),
    ],
)
def test_a_mistake_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValidationException) as caught:
        parse_options(text, C5)
    assert caught.value.message == sentence


def test_an_unknown_key_is_answered_with_the_list() -> None:
    with pytest.raises(ValidationException, match=r"unknown key 'foo'\. Known keys: .*mcpu, mattr"):
        parse_options('{"foo": 1}', C5)


def test_inferentia_takes_a_string_of_flags() -> None:
    assert parse_options('"--verbose 1 --num-neuroncores 2 -O2"', targets()["ml_inf1"]) == {
        "flags": "--verbose 1 --num-neuroncores 2 -O2"
    }
    with pytest.raises(ValidationException):
        parse_options('"--x; rm"', targets()["ml_inf1"])


def test_nvidia_platforms_require_three_keys_and_devices_do_not() -> None:
    with pytest.raises(ValidationException, match="gpu-code, trt-ver, cuda-ver must be given"):
        parse_options(None, targets()["LINUX_ARM64_NVIDIA"], platform=True)
    assert parse_options(None, targets()["jetson_tx2"]) == {}


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        options = parse_options(text, C5)
    except ValidationException:
        return
    assert set(options) <= set(OPTIONS)


def test_inference_images_are_those_of_the_sdk() -> None:
    image = inference_image("PYTORCH", "1.8.1", C5, "us-east-1")
    assert image == "785573368785.dkr.ecr.us-east-1.amazonaws.com/sagemaker-inference-pytorch:1.8-cpu-py3"
    assert inference_image("MXNET", None, targets()["ml_p3"], "cn-north-1") == (
        "472730292857.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-inference-mxnet:1.8-gpu-py3"
    )
    assert (
        inference_image("XGBOOST", None, C5, "eu-west-1")
        == "802834080501.dkr.ecr.eu-west-1.amazonaws.com/xgboost-neo:latest"
    )
    assert inference_image("XGBOOST", None, targets()["rasp3b"], "eu-west-1") is None
    assert inference_image("DARKNET", None, C5, "us-east-1") is None
    assert inference_image("ONNX", None, C5, "mars-1") is None
