"""Bad input: the type and the text of every error, torch's own type beside it, and a fuzz of all that is no array."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import crossent
from crossent import errors

X = np.random.default_rng(0).normal(size=(8, 10)).astype(np.float32)
Y = np.arange(8)
T, L = torch.from_numpy(X), torch.from_numpy(Y)
BINARY = crossent.binary_cross_entropy_with_logits
CALL = re.escape("in cross_entropy(input float32 (8, 10), target int64 (8,)")


class Case(NamedTuple):
    """A bad call, what it raises, and what torch is asked in the same case (None: torch takes it)."""

    name: str
    call: Any
    error: type[errors.CrossentError]
    text: str
    torch_call: Any = None


def ce(*arguments: Any, **options: Any) -> Any:
    """A cross-entropy to be called later."""
    return lambda: crossent.cross_entropy(*arguments, **options)


def labels_with(value: int, place: int = 3) -> np.ndarray:
    """Labels with one value of one's choice."""
    labels = Y.copy()
    labels[place] = value
    return labels


SHAPES = [
    Case("number", ce(1.0, 0), errors.ShapeError,
         r"^cross_entropy: input is a single number, expected one row of logits"),
    Case("no classes", ce(np.zeros((2, 0)), [0, 0]), errors.ShapeError,
         r"^input has no classes on axis 1 — in cross_entr"),
    Case("column", ce(X, Y[:, None]), errors.ShapeError,
         r"^target has shape \(8, 1\), expected \(8,\) or \(8, 10\): use target\.squeeze\(1\) — in "
         r"cross_entropy\(input "
         r"float32 \(8, 10\), target int64 \(8, 1\)\)$", lambda: F.cross_entropy(T, L[:, None])),
    Case("row", ce(X, Y[None]), errors.ShapeError, r"^target has shape \(1, 8\), expected \(8,\) or \(8, 10\): ",
         lambda: F.cross_entropy(T, L[None])),
    Case("rows of two batches", ce(X, Y[:5]), errors.ShapeError,
         r"^target has shape \(5,\), expected \(8,\) or \(8, 10\): input has 8 rows, target has 5; take both from "
         r"the same",
         lambda: F.cross_entropy(T, L[:5])),
    Case("probabilities of other classes", ce(X, np.ones((8, 9)) / 9), errors.ShapeError,
         r"^target has shape \(8, 9\), .*: it has 9 classes, but input has 10",
         lambda: F.cross_entropy(T, torch.ones(8, 9) / 9)),
    Case("classes last", ce(np.zeros((4, 7, 3)), np.zeros((4, 7), int)), errors.ShapeError,
         r"the classes of input \(4, 7, 3\) are last, so use axis=-1 \(or numpy\.moveaxis\(input, -1, 1\)\)",
         lambda: F.cross_entropy(torch.zeros(4, 7, 3), torch.zeros(4, 7, dtype=torch.long))),
    Case("classes last, torch", ce(torch.zeros(4, 7, 3), torch.zeros(4, 7, dtype=torch.long)), errors.ShapeError,
         r"so use axis=-1 \(or input\.movedim\(-1, 1\)\)"),
    Case("kept class axis", ce(np.zeros((4, 3, 7)), np.zeros((4, 1, 7), int)), errors.ShapeError,
         r"use target\.squeeze\(1\)",
         lambda: F.cross_entropy(torch.zeros(4, 3, 7), torch.zeros(4, 1, 7, dtype=torch.long))),
    Case("scalar target", ce(X, 3), errors.ShapeError, r"^target has shape \(\), expected \(8,\) or \(8, 10\)",
         lambda: F.cross_entropy(T, torch.tensor(3))),
    Case("class weights", ce(X, Y, [1.0, 2.0]), errors.ShapeError,
         r"^cross_entropy: weight has shape \(2,\), but input float32 \(8, 10\) has 10 classes: expected \(10,\), "
         r"one weight "
         r"a class; weights a row are sample_weight$", lambda: F.cross_entropy(T, L, torch.ones(2))),
    Case("weight of rows", ce(X, Y, np.ones(8)), errors.ShapeError, r"weights a row are sample_weight",
         lambda: F.cross_entropy(T, L, torch.ones(8))),
    Case("sample weights", ce(X, Y, sample_weight=np.ones(3)), errors.ShapeError,
         r"^cross_entropy: sample_weight has shape \(3,\), expected \(8,\): one for each row$"),
    Case("where", ce(X, Y, where=np.ones(4, bool)), errors.ShapeError,
         r"^cross_entropy: where has shape \(4,\), expected \(10,\) or a shape that broadcasts to input \(8, 10\)$"),
    Case("predict of one unit", lambda: crossent.predict(X[:, :1]), errors.ShapeError,
         r"^predict: input has shape \(8, 1\), with 1 classes on axis 1: for one output unit the class is input > 0"),
    Case("binary column logits", lambda: BINARY(X[:, :1], X[:, 0] > 0), errors.ShapeError,
         r"^target has shape \(8,\), expected \(8, 1\), the shape of input: use input\.squeeze\(1\) or "
         r"target\[\.\.\., None\]",
         lambda: F.binary_cross_entropy_with_logits(T[:, :1], torch.ones(8))),
    Case("binary column target", lambda: BINARY(X[:, 0], X[:, :1] > 0), errors.ShapeError,
         r"^target has shape \(8, 1\), expected \(8,\), the shape of input: use target\.squeeze\(1\)",
         lambda: F.binary_cross_entropy_with_logits(T[:, 0], torch.ones(8, 1))),
    Case("binary of classes", lambda: BINARY(X, Y), errors.ShapeError,
         r"a binary loss takes one target for each logit; for classes use cross_entropy",
         lambda: F.binary_cross_entropy_with_logits(T, L.float())),
    Case("probabilities' targets", lambda: crossent.binary_cross_entropy(np.full(3, 0.5), np.ones(2)),
         errors.ShapeError, r"^target has shape \(2,\), expected \(3,\)",
         lambda: F.binary_cross_entropy(torch.full((3,), 0.5), torch.ones(2))),
    Case("pos_weight", lambda: BINARY(X[:, :1], X[:, :1] > 0, pos_weight=[1.0, 2.0]), errors.ShapeError,
         r"^pos_weight has shape \(2,\), which does not broadcast to input \(8, 1\): one for each output: for one "
         r"output give "
         r"the number n_negative / n_positive — in",
         lambda: F.binary_cross_entropy_with_logits(T[:, :1], torch.ones(8, 1), pos_weight=torch.ones(2))),
    Case("binary weight", lambda: BINARY(X, X > 0, np.ones(3)), errors.ShapeError,
         r"^weight has shape \(3,\), which does not broadcast to input \(8, 10\)",
         lambda: F.binary_cross_entropy_with_logits(T, (T > 0).float(), torch.ones(3))),
]  # fmt: skip

AXES = [
    Case("too large", ce(X, Y, axis=5), errors.AxisError,
         r"^cross_entropy: axis=5, but input float32 \(8, 10\) has 2 axes: expected an integer from -2 to 1$"),
    Case("softmax", lambda: crossent.softmax(X, 2), errors.AxisError, r"^softmax: axis=2, .* has 2 axes",
         lambda: torch.softmax(T, 2)),
    Case("log_softmax", lambda: crossent.log_softmax(X, -3), errors.AxisError, r"^log_softmax: axis=-3",
         lambda: torch.log_softmax(T, -3)),
    Case("logsumexp", lambda: crossent.logsumexp(X, 7), errors.AxisError, r"^logsumexp: axis=7",
         lambda: torch.logsumexp(T, 7)),
    Case("predict", lambda: crossent.predict(X, 7), errors.AxisError,
         r"^predict: axis=7, but input float32 \(8, 10\) has 2 axes"),
    Case("text", ce(X, Y, axis="1"), errors.AxisError,
         r"^cross_entropy: axis='1', but input .*: expected an integer from"),
    Case("softmax, two names", lambda: crossent.softmax(X, axis=-1, dim=-1), errors.OptionError,
         r"^softmax: axis=-1 and dim=-1 are two names of one option: give axis, or dim as in torch$"),
    Case("softmax, twice", lambda: crossent.softmax(X, (0, -2)), errors.AxisError, r"names an axis of .*twice"),
]  # fmt: skip

DTYPES = [
    Case("complex input", ce(X + 1j, Y), errors.DtypeError,
         r"^input has dtype complex64, expected one of float16, bfloat16, float32, float64: convert it, as with "
         r"x\.astype\('flo",
         lambda: F.cross_entropy(T + 1j, L)),
    Case("boolean input", ce(X > 0, Y), errors.DtypeError, r"^input has dtype bool",
         lambda: F.cross_entropy(T > 0, L)),
    Case("object input", ce(X.astype(object), Y), errors.DtypeError, r"^input has dtype object"),
    Case("torch integers", ce(T.long(), L), errors.DtypeError,
         r"^input has dtype int64, .*: convert it, as with x\.float\(\)$",
         lambda: F.cross_entropy(T.long(), L)),
    Case("softmax of torch integers", lambda: crossent.softmax(T.long()), errors.DtypeError, r"^x has dtype int64",
         lambda: torch.softmax(T.long(), 1)),
    Case("eight bits", ce(T.to(torch.float8_e4m3fn), L), errors.DtypeError, r"^input has dtype float8_e4m3fn",
         lambda: F.cross_entropy(T.to(torch.float8_e4m3fn), L)),
    Case("structured input", ce(np.zeros(3, [("a", "f4")]), [0]), errors.DtypeError, r"^input has dtype void"),
    Case("long double", ce(X.astype(np.longdouble), Y), errors.DtypeError, r"^input has dtype"),
    Case("float class indices", ce(T, L.float()), errors.DtypeError,
         r"^target holds float32, but its shape \(8,\) is that of class indices, which are integers: use "
         r"target\.long\(\), or "
         r"give probabilities of shape \(8, 10\) — in", lambda: F.cross_entropy(T, L.float())),
    Case("float class indices, NumPy", ce(X, Y.astype(float)), errors.DtypeError, r"use target\.astype\('int64'\)"),
    Case("boolean class indices", ce(T, L > 3), errors.DtypeError, r"^target holds bool",
         lambda: F.cross_entropy(T, L > 3)),
    Case("missing labels", ce(X, [0, 1, np.nan, 3, 4, 5, 6, 7]), errors.DtypeError,
         r"^target holds missing values \(NaN\)"),
    Case("complex target", ce(X, X + 1j), errors.DtypeError,
         r"^target has dtype complex64, expected class indices or probabilities — in"),
    Case("not one-hot", ce(X, np.ones((8, 10), int)), errors.DtypeError,
         r"^target holds integers in the shape of input \(8, 10\), but is not one-hot \(one 1 in each row\): give "
         r"class indices "
         r"of shape \(8,\) or probabilities — in", lambda: F.cross_entropy(T, torch.ones(8, 10, dtype=torch.long))),
    Case("where", ce(X, Y, where=np.ones(10, int)), errors.DtypeError,
         r"^cross_entropy: where has dtype int64, expected bool: use where != 0$"),
    Case("complex weights", ce(X, Y, np.ones(10) * 1j), errors.DtypeError,
         r"^weight has dtype complex128, expected real numbers",
         lambda: F.cross_entropy(T, L, torch.ones(10) * 1j)),
    Case("complex sample weights", ce(X, Y, sample_weight=np.ones(8) * 1j), errors.DtypeError,
         r"^sample_weight has dtype comp"),
    Case("complex labels", lambda: BINARY(X, X * 1j), errors.DtypeError,
         r"^target has dtype complex64, expected real numbers"),
    Case("dtype of integers", ce(X, Y, dtype="int32"), errors.DtypeError,
         r"^dtype='int32', expected one of float16, bfloat16"),
    Case("dtype of nonsense", lambda: crossent.softmax(X, dtype="float33"), errors.DtypeError,
         r"^dtype='float33', expected one of"),
]  # fmt: skip

ARRAYS = [
    Case("no input", ce(None, Y), errors.ArrayTypeError, r"^input is None, expected an array",
         lambda: F.cross_entropy(None, L)),
    Case("no target", ce(X, None), errors.ArrayTypeError, r"^target is None, expected an array",
         lambda: F.cross_entropy(T, None)),
    Case("text", ce("abc", Y), errors.ArrayTypeError, r"^input is a str of dtype <U3, expected an array of numbers",
         lambda: F.cross_entropy("abc", L)),
    Case("ragged", ce([[1.0, 2.0], [3.0]], [0, 0]), errors.ArrayTypeError, r"^input is a list that is no array: "),
    Case("strings", ce(X, list("abcdefgh")), errors.ArrayTypeError,
         r"^target is a list of dtype <U1, expected an array of numbers"),
    Case("strings of pandas", ce(pd.DataFrame([["a", "b"]]), [0]), errors.ArrayTypeError,
         r"^input is a DataFrame of dtype"),
    Case("dates of pandas", ce(X[:1], pd.Series(pd.to_datetime(["2020-01-01"]))), errors.ArrayTypeError,
         r"^target is a Series of"),
    Case("generator", ce((i for i in range(3)), Y), errors.ArrayTypeError, r"^input is a generator"),
    Case("masked array", ce(np.ma.array(X, mask=X > 0), Y), errors.ArrayTypeError,
         r"^input is a masked array: .*where=~x\.mask"),
    Case("sparse", ce(T.to_sparse(), L), errors.ArrayTypeError,
         r"^input is a tensor of layout torch\.sparse_coo, .*x\.to_dense\(\)"),
    Case("NumPy with torch", ce(X, L), errors.ArrayTypeError,
         r"^target is a torch\.Tensor, but input a numpy\.ndarray: give both in one library"),
    Case("weight of torch", ce(X, Y, torch.ones(10)), errors.ArrayTypeError,
         r"^weight is a torch\.Tensor, but input a numpy"),
    Case("two devices", ce(T, L.to("meta")), errors.ArrayTypeError,
         r"^target is on meta, but input on cpu: move it with target\.to\('cpu'\)$"),
    Case("two devices, weight", ce(T, L, torch.ones(10, device="meta")), errors.ArrayTypeError, r"^weight is on "
         r"meta"),
    Case("two devices, binary", lambda: BINARY(T, T.to("meta")), errors.ArrayTypeError, r"^target is on meta"),
]  # fmt: skip

VALUES = [
    Case("1-based", ce(X, Y + 3), errors.ClassIndexError,
         r"^target holds 10 at position 7, but there are 10 classes \(0 … 9\): are the labels 1-based\? then use "
         r"target - 1 — " + CALL,
         lambda: F.cross_entropy(T, L + 3)),
    Case("one too many", ce(X, labels_with(10)), errors.ClassIndexError,
         r"^target holds 10 at position 3, but there are 10 classes \(0 … 9\): are the labels 1-based\? — " + CALL,
         lambda: F.cross_entropy(T, torch.from_numpy(labels_with(10)))),
    Case("void", ce(X, labels_with(255)), errors.ClassIndexError, r"then use ignore_index=255",
         lambda: F.cross_entropy(T, torch.from_numpy(labels_with(255)))),
    Case("negative", ce(X, labels_with(-1, 0)), errors.ClassIndexError,
         r"^target holds -1 at position 0, .*: is -1 meant to be ignored\? then use ignore_index=-1 — " + CALL,
         lambda: F.cross_entropy(T, torch.from_numpy(labels_with(-1)))),
    Case("far out", ce(X, labels_with(99)), errors.ClassIndexError,
         r"the model needs 100 outputs or more, or the labels are not class indices"),
    Case("in a grid", ce(np.zeros((2, 3, 4)), np.array([[0, 1, 2, 0], [0, 0, 7, 0]])), errors.ClassIndexError,
         r"7 at position \(1, 2\)"),
    Case("large unsigned", ce(X, labels_with(0).astype(np.uint64) + np.uint64(2**64 - 100)), errors.ClassIndexError,
         r"^target holds "),
    Case("negative mass", ce(X[0], [1.0, -1.0, 1.0] + [0.0] * 7), errors.ProbabilityError,
         r"^target holds -1, but probabilities are not negative: apply softmax to a teacher's logits, or give "
         r"class indices — in"),
    Case("labels of one sample", ce(X[0], [1.0] * 10), errors.ProbabilityError,
         r"^input and target of shape \(10,\) are one sample of 10 classes, and target sums to 10: for binary "
         r"labels use"),
    Case("logits for probabilities",
         lambda: crossent.binary_cross_entropy(np.array([0.5, 3.0]), [0, 1]), errors.ProbabilityError,
         r"^probs holds 3, expected 0 … 1: for logits use binary_cross_entropy_with_logits — in",
         lambda: F.binary_cross_entropy(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 1.0]))),
    Case("labels of 1 and 2", lambda: BINARY(np.zeros(2), [1, 2]), errors.ProbabilityError,
         r"^target holds 2, expected 0 … 1: labels are 0 or 1, or probabilities; rescale them — in"),
    Case("labels of −1 and 1", lambda: crossent.binary_cross_entropy(np.full(2, 0.5), [1, -1]), errors.ProbabilityError,
         r"^target holds -1, expected 0 … 1",
         lambda: F.binary_cross_entropy(torch.full((2,), 0.5), torch.tensor([1.0, -1.0]))),
    Case("nothing to average", ce(X, np.full(8, -100), on_empty="raise"), errors.EmptyReductionError,
         r"^the mean is over nothing: every row is ignored.*; on_empty='zero' gives 0, on_empty='nan' gives NaN$"),
]  # fmt: skip

OPTIONS = [
    Case("reduction", ce(T, L, reduction="avg"), errors.OptionError,
         r"^cross_entropy: reduction='avg', expected one of 'none', 'mean', 'sum'$",
         lambda: F.cross_entropy(T, L, reduction="avg")),
    Case("label_smoothing", ce(T, L, label_smoothing=1.5), errors.OptionError,
         r"^cross_entropy: label_smoothing=1\.5, expected between 0\.0 and 1\.0$",
         lambda: F.cross_entropy(T, L, label_smoothing=1.5)),
    Case("NaN", ce(T, L, label_smoothing=float("nan")), errors.OptionError, r"label_smoothing=nan"),
    Case("z_loss", ce(X, Y, z_loss=-1), errors.OptionError,
         r"^cross_entropy: z_loss=-1, expected 0 or a positive number$"),
    Case("softcap", ce(X, Y, softcap=0), errors.OptionError,
         r"^cross_entropy: softcap=0, expected None or a positive number$"),
    Case("temperature", ce(X, Y, temperature=0), errors.OptionError,
         r"^cross_entropy: temperature=0, expected a positive number$"),
    Case("softmax temperature", lambda: crossent.softmax(X, temperature=-1), errors.OptionError,
         r"^softmax: temperature=-1, expected a"),
    Case("ignore_index", ce(X, Y, ignore_index=1.5), errors.OptionError,
         r"^cross_entropy: ignore_index=1\.5, expected an integer"),
    Case("ignore_index of probabilities", ce(T, T.softmax(1), ignore_index=3), errors.OptionError,
         r"^ignore_index=3 has no meaning for probability targets",
         lambda: F.cross_entropy(T, T.softmax(1), ignore_index=3)),
    Case("on_empty", ce(X, Y, on_empty=0), errors.OptionError, r"on_empty=0, expected one of 'nan', 'zero', "
         r"'raise'$"),
    Case("check", ce(X, Y, check="no"), errors.OptionError, r"check='no', expected one of 'auto', True, False$"),
    Case("inplace", ce(X, Y, inplace="yes"), errors.OptionError, r"inplace='yes', expected one of True, False$"),
    Case("denominator and sum", ce(X, Y, reduction="sum", denominator=3), errors.OptionError,
         r"^cross_entropy: denominator divides the mean, but reduction='sum': drop denominator, or use "
         r"reduction='mean'$"),
    Case("negative denominator", ce(X, Y, denominator=-3), errors.OptionError,
         r"^denominator=-3, expected a number that is not neg"),
    Case("negative denominator, array", ce(T, L, denominator=torch.tensor(-3.0)), errors.OptionError,
         r"^denominator holds -3\.0"),
    Case("two denominators", ce(X, Y, denominator=[1, 2]), errors.OptionError,
         r"^denominator is int64 \(2,\), expected a single real"),
    Case("complex denominator", ce(X, Y, denominator=1j), errors.OptionError, r"^denominator is complex128"),
    Case("negative pos_weight", lambda: BINARY(X, X > 0, pos_weight=-2.0), errors.OptionError,
         r"^pos_weight is negative"),
    Case("in place, read-only", lambda: crossent.cross_entropy_with_grad(np.broadcast_to(X[0], (8, 10)), Y,
         inplace=True), errors.OptionError,
         r"^cross_entropy_with_grad: inplace=True, but input .* cannot be written into"),
    Case("in place, integers",
         lambda: crossent.cross_entropy_with_grad(np.arange(4)[None], [0], inplace=True), errors.OptionError,
         r"cannot be written into"),
    Case("in place, expanded", lambda: crossent.cross_entropy(T[0].expand(8, 10).requires_grad_(), L, inplace=True),
         errors.OptionError, r"cannot be written into"),
    Case("in place, weights that learn", lambda: crossent.cross_entropy(
        (T * 1).requires_grad_(), L, torch.ones(10, requires_grad=True), inplace=True), errors.OptionError,
         r"^cross_entropy: inplace=True gives the gradient of input alone, but weight requires grad: use "
         r"inplace=False$"),
    Case("module", lambda: crossent.nn.CrossEntropyLoss(label_smoothing=2), errors.OptionError,
         r"^CrossEntropyLoss: label_smoothing=2, expected between"),
]  # fmt: skip

TABLES = {"shape": SHAPES, "axis": AXES, "dtype": DTYPES, "array": ARRAYS, "value": VALUES, "option": OPTIONS}
ALL = [pytest.param(case, id=f"{table}-{case.name}") for table, cases in TABLES.items() for case in cases]


def raised_by(call: Any) -> Exception | None:
    """What a call raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return error
    return None


@pytest.mark.parametrize("case", ALL)
def test_error(case):
    with pytest.raises(case.error) as caught:
        case.call()
    assert type(caught.value) is case.error
    assert re.search(case.text, str(caught.value)), str(caught.value)
    if case.torch_call is not None:
        theirs = type(raised_by(case.torch_call))
        assert isinstance(caught.value, theirs), f"torch raises {theirs.__name__}"


def test_built_in_types():
    expected = {
        errors.ShapeError: (ValueError, RuntimeError),
        errors.AxisError: (IndexError, ValueError),
        errors.DtypeError: (TypeError, NotImplementedError, RuntimeError),
        errors.ArrayTypeError: (TypeError,),
        errors.ClassIndexError: (IndexError,),
        errors.ProbabilityError: (ValueError, RuntimeError),
        errors.OptionError: (ValueError, RuntimeError),
        errors.EmptyReductionError: (ValueError,),
        errors.MissingDependencyError: (ImportError,),
        errors.DataError: (ValueError,),
        errors.RunFolderError: (OSError,),
        errors.MisuseWarning: (UserWarning,),
    }
    for error, types in expected.items():
        for built_in in types:
            assert issubclass(error, built_in)
        assert issubclass(error, errors.CrossentError) != (error is errors.MisuseWarning)


@pytest.mark.parametrize(("call", "text"), [
    (lambda: crossent.cross_entropy(X, Y, reductoin="sum"), r"unexpected keyword argument 'reductoin': did you mean "
         r"reduction\?$"),
    (lambda: crossent.cross_entropy(X, Y, dim=1), r"^cross_entropy\(\) got an unexpected keyword argument 'dim'"),
    (lambda: crossent.nll_loss(X, Y, softcap=1.0), r"^nll_loss\(\) got an unexpected keyword argument 'softcap'"),
    (lambda: crossent.row_stats(X, Y, reduction="sum"),
     r"^row_stats\(\) got an unexpected keyword argument 'reduction'"),
    (lambda: BINARY(X, X > 0, z_loss=1), r"unexpected keyword argument 'z_loss'"),
    (lambda: crossent.binary_cross_entropy(X, X > 0, temperature=2.0), r"unexpected keyword argument 'temperature'"),
    (lambda: crossent.nn.NLLLoss(softcap=1.0), r"unexpected keyword argument 'softcap'"),
    (lambda: crossent.cross_entropy(X, Y, weight=None, pos_weight=[1.0]), r"unexpected keyword argument 'pos_weight'"),
])  # fmt: skip
def test_unknown_keywords(call, text):
    with pytest.raises(TypeError, match=text):
        call()


# --- what must work ---


def test_numbers_of_numpy_lists_frames_and_scalars_are_taken():
    expected = float(crossent.cross_entropy(X.astype(float), Y))
    for x, y in [
        (X.astype(float).tolist(), Y.tolist()),
        (pd.DataFrame(X.astype(float)), pd.Series(Y)),
        (pd.DataFrame(X.astype(float)), pd.Series(Y, dtype="Int64")),
        (X.astype(">f8"), Y.astype(">i4")),
        (tuple(map(tuple, X.astype(float))), tuple(Y)),
    ]:
        assert float(crossent.cross_entropy(x, y)) == pytest.approx(expected, rel=1e-15)
    assert float(crossent.cross_entropy(T.double(), Y)) == pytest.approx(expected, rel=1e-14)
    assert float(crossent.cross_entropy([1, 2, 3], np.int64(1))) == pytest.approx(1.4076059644443804)
    options = {
        "label_smoothing": np.float32(0.5),
        "temperature": np.float32(2),
        "axis": np.int64(1),
        "z_loss": np.float64(0.5),
    }
    given = {"label_smoothing": 0.5, "temperature": 2.0, "axis": 1, "z_loss": 0.5}
    assert float(crossent.cross_entropy(X, Y, **options)) == float(crossent.cross_entropy(X, Y, **given))
    assert float(crossent.cross_entropy(X, Y, ignore_index=np.int64(3))) == float(
        crossent.cross_entropy(X, Y, ignore_index=3)
    )
    np.testing.assert_array_equal(
        crossent.softmax(X, np.int32(0), temperature=np.float32(2)), crossent.softmax(X, 0, temperature=2.0)
    )
    assert crossent.softmax([1, 2]).dtype == np.float64
    assert type(crossent.cross_entropy(X, Y)) is np.float32


@pytest.mark.parametrize(
    "kind", ["read-only", "big-endian", "longlong", "ulonglong", "reversed", "broadcast", "series", "list"]
)
def test_arrays_of_numpy_beside_a_torch_input(kind):
    """Memory-mapped, pandas and foreign arrays are what data sets hand over."""
    labels = np.array([1, 1, 1]) if kind == "broadcast" else np.array([0, 1, 2])
    given = {
        "read-only": labels.copy(),
        "big-endian": labels.astype(">i8"),
        "longlong": labels.astype(np.longlong),
        "ulonglong": labels.astype(np.ulonglong),
        "reversed": labels[::-1].copy()[::-1],
        "broadcast": np.broadcast_to(np.array(1), (3,)),
        "series": pd.Series(labels),
        "list": labels.tolist(),
    }[kind]
    if kind == "read-only":
        given.flags.writeable = False
    expected = float(F.cross_entropy(T[:3], torch.from_numpy(labels)))
    assert float(crossent.cross_entropy(T[:3], given)) == pytest.approx(expected, rel=1e-6)
    weight = np.ones(10, ">f4") if kind == "big-endian" else np.ones(10)
    weight.flags.writeable = kind != "read-only"
    assert float(crossent.cross_entropy(T[:3], given, weight)) == pytest.approx(expected, rel=1e-6)


def test_sixteen_bit_arrays_of_numpy_beside_a_torch_input():
    import ml_dtypes

    one_hot = np.eye(10, dtype=ml_dtypes.bfloat16)[Y]
    assert float(crossent.cross_entropy(T, one_hot)) == pytest.approx(float(F.cross_entropy(T, L)), rel=1e-6)


def test_meta_tensors_have_shapes_and_no_values():
    meta = T.to("meta")
    assert crossent.cross_entropy(meta, L.to("meta"), reduction="none").shape == (8,)
    assert crossent.softmax(meta).device.type == "meta"
    assert crossent.cross_entropy(meta, meta).shape == ()


def test_the_message_restates_the_call():
    with pytest.raises(errors.ClassIndexError) as caught:
        crossent.cross_entropy(X, Y + 3, np.ones(10), reduction="sum", label_smoothing=0.1)
    text = "input float32 (8, 10), target int64 (8,), weight float64 (10,), reduction='sum', label_smoothing=0.1"
    assert str(caught.value).endswith(f"— in cross_entropy({text})")


# --- fuzz: nothing but typed errors, named warnings and honest numbers ---

NEVER = {  # what no argument of an array's place can be
    "text": "abc",
    "bytes": b"abc",
    "object": object(),
    "function": len,
    "class": int,
    "class of numbers": np.float32,
    "dictionary": {"a": 1},
    "set": {1, 2},
    "ragged": [[1.0], [1.0, 2.0]],
    "objects": np.array([None, "a"], dtype=object),
    "strings": np.array(["a", "b"]),
    "date": np.array(["2020-01-01"], "datetime64[D]"),
    "structured": np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "complex": np.array([1j, 2.0]),
    "series of strings": pd.Series(["a", "b"]),
    "ellipsis": ...,
    "empty": [],
    "empty nested": [[]],
    "wrong rank": np.ones((1, 2, 3, 4, 5)),
    "slice": slice(3),
    "module": np,
}
NUMBERS_NEVER = {
    "text": "1", "bytes": b"1", "NaN": float("nan"), "infinite": float("inf"), "negative": -1.0, "complex": 1j,
    "list": [1.0, 2.0],
    "object": object(), "array": np.ones(3), "huge": 10**400, "function": len, "tensors": torch.ones(2),
    "not a number": None,
}  # fmt: skip
LOSSES = {
    "cross_entropy": (crossent.cross_entropy, X, Y),
    "cross_entropy_with_grad": (crossent.cross_entropy_with_grad, X, Y),
    "nll_loss": (crossent.nll_loss, np.log(crossent.softmax(X)), Y),
    "row_stats": (crossent.row_stats, X, Y),
    "binary_cross_entropy_with_logits": (BINARY, X, (X > 0).astype(np.float32)),
    "binary_cross_entropy": (crossent.binary_cross_entropy, crossent.softmax(X), (X > 0).astype(np.float32)),
}
ARRAY_OPTIONS = {
    "cross_entropy": ("weight", "sample_weight", "where", "denominator"),
    "cross_entropy_with_grad": ("weight", "sample_weight", "where", "denominator"),
    "nll_loss": ("weight", "sample_weight", "denominator"),
    "row_stats": ("weight", "sample_weight", "where"),
    "binary_cross_entropy_with_logits": ("weight", "pos_weight", "sample_weight", "denominator"),
    "binary_cross_entropy": ("weight", "pos_weight", "sample_weight", "denominator"),
}
MAY_BE_NONE = (("softcap",), ("softcap", "ignore_index"))  # of the losses with classes, of the binary ones
NUMBER_OPTIONS = {"label_smoothing", "z_loss", "softcap", "temperature", "ignore_index"}


def accepted(function, name: str) -> bool:
    """Whether a loss has an option."""
    return name in inspect.signature(function).parameters


@pytest.mark.parametrize("kind", list(NEVER))
@pytest.mark.parametrize("name", list(LOSSES))
def test_what_is_no_array(name, kind):
    function, x, y = LOSSES[name]
    bad = NEVER[kind]
    for libraries in ((x, y), (torch.from_numpy(np.asarray(x)), torch.from_numpy(np.asarray(y)))):
        with pytest.raises(errors.CrossentError):
            function(bad, libraries[1])
        with pytest.raises(errors.CrossentError):
            function(libraries[0], bad)
        for option in ARRAY_OPTIONS[name]:
            with pytest.raises(errors.CrossentError):
                function(*libraries, **{option: bad})


@pytest.mark.parametrize("kind", list(NEVER))
def test_what_softmax_does_not_take(kind):
    if kind == "wrong rank":
        assert crossent.softmax(NEVER[kind]).shape == (1, 2, 3, 4, 5)
        return
    empty = kind in ("empty", "empty nested")  # softmax of nothing is nothing, as in torch
    functions = (crossent.softmax, crossent.log_softmax, crossent.logsumexp)
    for function in (*(() if empty else functions), crossent.predict):
        with pytest.raises(errors.CrossentError):
            function(NEVER[kind])
    for function in (crossent.softmax, crossent.log_softmax, crossent.logsumexp):
        with pytest.raises(errors.CrossentError):
            function(X, where=NEVER[kind])
        with pytest.raises(errors.CrossentError):
            function(X, NEVER[kind])


@pytest.mark.parametrize("kind", list(NUMBERS_NEVER))
@pytest.mark.parametrize("name", list(LOSSES))
def test_what_is_no_number(name, kind):
    function, x, y = LOSSES[name]
    bad = NUMBERS_NEVER[kind]
    for option in sorted(NUMBER_OPTIONS):
        if not accepted(function, option) or (bad is None and option in MAY_BE_NONE[name.startswith("binary")]):
            continue
        if option == "ignore_index" and kind == "negative":
            continue
        for libraries in ((x, y), (torch.from_numpy(np.asarray(x)), torch.from_numpy(np.asarray(y)))):
            with pytest.raises(errors.OptionError, match=option):
                function(*libraries, **{option: bad})
    for option in ("reduction", "on_empty", "check", "inplace"):
        if accepted(function, option):
            with pytest.raises(errors.OptionError, match=option):
                function(x, y, **{option: bad})
    if accepted(function, "dtype") and bad is not None:
        with pytest.raises(errors.DtypeError):
            function(x, y, dtype=bad)
    if kind not in ("not a number",):
        for one in (crossent.softmax, crossent.log_softmax):
            with pytest.raises(errors.OptionError, match="temperature"):
                one(x, temperature=bad)


ODD = st.sampled_from([
    None, True, False, 0, 1, -1, 3, 2**63, -(2**70), 0.5, -0.0, float("nan"), float("inf"), 1j, "", "mean", b"", ...,
    NotImplemented,
    (), [], [[]], [0], [1, 2], [[1.0, 2.0]], [[True, False]], {}, {1}, range(3), np.float16(1), np.int8(-3),
    np.bool_(True),
    np.array(1.0), np.array(2), np.zeros((0, 3)), np.zeros((2, 0)), np.zeros(0, int), np.ones(3), np.ones(3, bool),
    np.eye(3),
    np.eye(3, dtype=int), np.arange(3), np.array([0, 2**63], np.uint64), np.array([np.nan, 1]), np.array(["a"]),
    np.array([None]),
    np.ones((2, 2, 2)), np.float32([[1, 2, 3]]), torch.ones(3), torch.eye(3), torch.arange(3), torch.tensor(1),
    torch.ones(0, 3),
    torch.ones(3, device="meta"), torch.eye(3).to_sparse(), torch.ones(3, dtype=torch.complex64), torch.eye(3) > 0,
    torch.float32,
    np.float32, "float64", pd.Series([1, 2, 3]), pd.DataFrame(np.eye(3)), pd.Series([1, None], dtype="Int64"),
    object, len,
    np.ma.array([1.0, 2.0], mask=[True, False]), np.datetime64("2020-01-01"), memoryview(b"abc"), bytearray(b"ab"),
    Exception("x"),
])  # fmt: skip
FUNCTIONS = {
    **{name: (entry[0], ("input", "target")) for name, entry in LOSSES.items()},
    "softmax": (crossent.softmax, ("x",)),
    "log_softmax": (crossent.log_softmax, ("x",)),
    "logsumexp": (crossent.logsumexp, ("x",)),
    "predict": (crossent.predict, ("x",)),
}


@settings(max_examples=400)
@given(data=st.data())
def test_odd_arguments_never_surprise(data):
    """Anything anywhere: a number comes back, or a typed error, or a named warning; nothing else escapes."""
    function, names = FUNCTIONS[data.draw(st.sampled_from(sorted(FUNCTIONS)), label="function")]
    ordinary = {"input": np.eye(3), "target": np.arange(3), "x": np.eye(3)}
    positional = [data.draw(st.one_of(st.just(ordinary[name]), ODD), label=name) for name in names]
    taken = list(inspect.signature(function).parameters)[len(names) :]
    chosen = data.draw(st.lists(st.sampled_from(taken), max_size=2, unique=True), label="options") if taken else []
    options = {name: data.draw(ODD, label=name) for name in chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = function(*positional, **options)
        except (errors.CrossentError, errors.MisuseWarning):
            return
    for part in result if isinstance(result, tuple) else (result,):
        assert part is None or hasattr(part, "dtype")
