"""neo-cli: SageMaker Neo's compilation jobs, on this machine or on AWS."""

__version__ = "0.1.0"
