"""What crossent raises: each error is also of the built-in type that PyTorch raises in the same case.

Every message restates the call (shapes, dtypes, options) and names the fix.
"""

from __future__ import annotations

__all__ = [
    "ArrayTypeError",
    "AxisError",
    "ClassIndexError",
    "CrossentError",
    "DataError",
    "DtypeError",
    "EmptyReductionError",
    "MissingDependencyError",
    "MisuseWarning",
    "ModelError",
    "OptionError",
    "ProbabilityError",
    "RankError",
    "RunFolderError",
    "ShapeError",
    "TracingError",
    "UnknownOptionError",
]


class CrossentError(Exception):
    """The base of every error that crossent raises."""


class ShapeError(CrossentError, ValueError, RuntimeError):
    """Shapes that do not fit together; torch raises ValueError or RuntimeError, by the case."""


class AxisError(ShapeError, IndexError):
    """An axis that the array does not have; torch raises IndexError."""


class DtypeError(CrossentError, TypeError, NotImplementedError):
    """A dtype that has no meaning here; torch raises RuntimeError or NotImplementedError."""


class ArrayTypeError(CrossentError, TypeError):
    """Not an array, or arrays of two libraries in one call."""


class ClassIndexError(CrossentError, IndexError):
    """A class index outside 0 … C−1; torch raises IndexError on a CPU."""


class ProbabilityError(CrossentError, ValueError, RuntimeError):
    """Numbers that should be probabilities and are not; torch raises RuntimeError where it looks."""


class OptionError(CrossentError, ValueError, RuntimeError):
    """An option outside its range; torch raises ValueError or RuntimeError, by the option."""


class UnknownOptionError(OptionError, TypeError):
    """An option that a function does not have, as Python's own TypeError; also torch's old spellings of reduction."""


class TracingError(CrossentError, RuntimeError):
    """A tool that records a function without its values (torch.jit.script, torch.fx); torch.export serves instead."""


class EmptyReductionError(CrossentError, ValueError):
    """A mean over nothing, with on_empty="raise"."""


class MissingDependencyError(CrossentError, ImportError):
    """An optional library is needed and not installed; the message names the extra to install."""


class ModelError(CrossentError, TypeError, ValueError):
    """A model whose head cannot be fused with its loss; the message says why, and what to use."""


class DataError(CrossentError, ValueError):
    """A data set that cannot be trained on or predicted for; the message names the column and the fix."""


class RunFolderError(CrossentError, OSError):
    """A run folder that is missing, incomplete or not written by crossent."""


class RankError(CrossentError, RuntimeError):
    """Ranks of a process group that disagree about a call, or one of them that has left it."""


class MisuseWarning(UserWarning):
    """A call that computes what was asked, but hardly what was meant."""
