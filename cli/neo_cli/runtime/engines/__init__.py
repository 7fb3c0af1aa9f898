"""ENGINES: kind of artifact -> `Engine(folder, record, threads)` with `run({name: array}) -> {name: array}`."""

ENGINES = {
    "native": "neo_cli.runtime.engines.native:Engine",
    "onnxruntime": "neo_cli.runtime.engines.onnxruntime:Engine",
    "openvino": "neo_cli.runtime.engines.openvino:Engine",
    "iree": "neo_cli.runtime.engines.iree:Engine",
    "ncnn": "neo_cli.runtime.engines.ncnn:Engine",
    "coreml": "neo_cli.runtime.engines.coreml:Engine",
}
