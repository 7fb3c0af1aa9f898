"""BACKENDS: name -> `compile(model, target, options, work) -> Build`; one file (or room) a compiler."""

BACKENDS = {
    "native": "neo_cli.backends.native:compile",
    "onnxruntime": "neo_cli.backends.onnxruntime:compile",
    "openvino": "neo_cli.backends.openvino:compile",
    "iree": "neo_cli.backends.iree:compile",
    "ncnn": "neo_cli.backends.ncnn:compile",
    "coreml": "neo_cli.backends.coreml:compile",
    "vendor": "neo_cli.backends.vendor:compile",
}

# name -> `accelerate(model, target, options, work) -> Build`: the GPU part of an artifact, beside its CPU part.
ACCELERATORS = {
    "iree": "neo_cli.backends.iree:accelerate",
    "ncnn": "neo_cli.backends.ncnn:accelerate",
}
