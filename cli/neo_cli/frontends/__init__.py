"""FRONTENDS: Framework -> `load(source, shapes) -> Model`; one file a framework, imported on first use."""

FRONTENDS = {
    "TENSORFLOW": "neo_cli.frontends.tensorflow:load",
    "KERAS": "neo_cli.frontends.keras:load",
    "MXNET": "neo_cli.frontends.mxnet:load",
    "ONNX": "neo_cli.frontends.onnx:load",
    "PYTORCH": "neo_cli.frontends.pytorch:load",
    "XGBOOST": "neo_cli.frontends.xgboost:load",
    "TFLITE": "neo_cli.frontends.tflite:load",
    "DARKNET": "neo_cli.frontends.darknet:load",
    "SKLEARN": "neo_cli.frontends.sklearn:load",
}

# Formats whose files may hold code that runs when they are loaded: pickles, TorchScript, graphs with file operations.
# Their jobs get no shared cache, and no trust outside a sandbox unless the user gives it (--trust-model).
CODE_CARRYING = frozenset({"TENSORFLOW", "KERAS", "PYTORCH", "XGBOOST", "SKLEARN"})
