"""What a value on the command line may be: plain text, shorthand, JSON, a file, standard input, a whole request."""

from __future__ import annotations

from neo_cli.base.errors import ParamValidation


class BadValue(ParamValidation):
    """A parameter's value cannot be read; the message names the parameter as the AWS CLI does."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"Error parsing parameter '{option}': {message}")
