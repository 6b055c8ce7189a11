"""The exceptions that rbinfer raises on purpose."""


def one_line(error: BaseException) -> str:
    """Return the text of an error on one line, or else the name of its type."""
    return " ".join(str(error).split()) or type(error).__name__


class RbinferError(Exception):
    """Base of every error that rbinfer raises on purpose."""


class InputError(RbinferError, ValueError):
    """An image, catalogue or parameter that cannot be used as it is."""


class ModelError(RbinferError):
    """A model file that cannot be used as it is."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No model of that name or path exists."""

    # OSError would print its first argument as an errno.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DeviceError(RbinferError, RuntimeError):
    """The device asked for was not what ONNX Runtime gave."""
