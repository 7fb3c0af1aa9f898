"""Every error neo-cli raises on purpose, with its exit code, and the texts a failed job shows.

NeoError                     exit 255
  UsageError                 exit 252  the request was not understood
    ParamValidation                    ... and AWS calls it so: "An error occurred (ParamValidation): ..."
  ConfigurationError         exit 253  region, credentials, pager, store location
  ServiceError               exit 254  the service (AWS or the local engine) refused the request
    ValidationException ResourceInUse ResourceNotFound ResourceLimitExceeded
  JobError                   the job ends FAILED; str() is its FailureReason
    InputError                         ClientError: InputConfiguration: ...   the archive, the model or its inputs
    CompileError                       ClientError: CompilationError: ...     the model cannot be compiled so
      OperatorNotImplemented           ClientError: OperatorNotImplemented: ...
      AccuracyError                    ClientError: AccuracyError: ...        compiled, but the numbers are off
      TargetUnavailable                ClientError: TargetUnavailable: ...    a tool this target needs is not here
    InternalError                      InternalServerError: ...               ours or the machine's fault

Exit codes follow the AWS CLI v2 return codes topic (`ExitCode`).
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; the numbers are the AWS CLI v2's."""

    OK = 0
    INTERRUPTED = 130  # Ctrl-C
    USAGE = 252  # the command line or a parameter was not understood
    CONFIGURATION = 253  # region, credentials or configuration are missing
    SERVICE = 254  # the service refused the request
    GENERAL = 255  # anything else; also `wait` on a FAILED job


class NeoError(Exception):
    """The root of the tree; `code` is the AWS-style error code where there is one."""

    exit: ExitCode = ExitCode.GENERAL
    code: str = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class UsageError(NeoError):
    exit = ExitCode.USAGE


class ParamValidation(UsageError):
    code = "ParamValidation"


class ConfigurationError(NeoError):
    exit = ExitCode.CONFIGURATION
    code = "Configuration"


class ServiceError(NeoError):
    """A refusal by the service; `code` is what AWS would put into `__type`."""

    exit = ExitCode.SERVICE

    def __init__(self, message: str = "", code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code or type(self).__name__


class ValidationException(ServiceError):
    code = "ValidationException"


class ResourceInUse(ServiceError):
    code = "ResourceInUse"


class ResourceNotFound(ServiceError):
    code = "ResourceNotFound"


class ResourceLimitExceeded(ServiceError):
    code = "ResourceLimitExceeded"


FAILURE_REASON_LIMIT = 1024  # the API's shape FailureReason


class JobError(NeoError):
    """The job cannot succeed; `reason` is the FailureReason text, at most 1024 characters."""

    prefix = "ClientError: "

    @property
    def reason(self) -> str:
        text = self.prefix + self.message
        return text if len(text) <= FAILURE_REASON_LIMIT else text[: FAILURE_REASON_LIMIT - 1] + "…"


class InputError(JobError):
    prefix = "ClientError: InputConfiguration: "


class CompileError(JobError):
    prefix = "ClientError: CompilationError: "


class OperatorNotImplemented(CompileError):
    prefix = "ClientError: OperatorNotImplemented: "


class AccuracyError(CompileError):
    prefix = "ClientError: AccuracyError: "


class TargetUnavailable(CompileError):
    prefix = "ClientError: TargetUnavailable: "


class InternalError(JobError):
    prefix = "InternalServerError: "
