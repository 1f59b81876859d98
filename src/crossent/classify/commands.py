"""The commands `crossent train` and `crossent predict`."""

from __future__ import annotations

import importlib.util
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crossent._system import files
from crossent._system.messages import printable
from crossent.errors import MissingDependencyError, OptionError

from .reading.flags import READING, reading_flags, reading_options

if TYPE_CHECKING:
    from .evaluation import Evaluation
    from .insight import Insight

__all__ = ["predict", "train"]

LIBRARIES = ("torch", "sklearn", "pandas", "pyarrow", "matplotlib", "jinja2", "safetensors", "skops", "tqdm")
SIGNALLED = 128  # plus the signal's number is the exit code, as shells have it: 130 after Ctrl-C


SAFE_CELLS = click.option(
    "--safe-cells",
    is_flag=True,
    help="In CSVs, put an apostrophe before texts that a spreadsheet would take for a formula (=, +, -, @).",
)


class LayerSizes(click.ParamType[list[int]]):
    """Sizes of the hidden layers: 128, or 128,64, or 0 for none."""

    name = "N[,N…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Turn "128,64" into [128, 64]."""
        try:
            sizes = [int(size) for size in value.split(",")] if isinstance(value, str) else list(value)
        except ValueError:
            sizes = [-1]
        if sizes == [0]:
            return []
        if not sizes or min(sizes) < 1 or max(sizes) >= 2**31:
            self.fail(f"{value!r} is not a list of layer sizes; write 128, or 128,64, or 0 for none", param, ctx)
        return sizes


class Share(click.FloatRange):
    """A number between 0 and 1; NaN, which is neither above nor below anything, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what compares with nothing."""
        share: float = super().convert(value, param, ctx)
        if math.isnan(share):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return share


@click.command(epilog="Example: crossent train flowers.csv --target species --hidden 64,32 --epochs 200")
@click.argument("data", default="digits")
@click.option(
    "--target", metavar="COLUMN", help="Column to predict. Default: target, label, class or y; else the last."
)
@reading_flags
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out. May be repeated.")
@click.option(
    "--held-out",
    type=Share(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the rows to hold out, the classes in proportion. A test part in the data is used instead.",
)
@click.option("--hidden", type=LayerSizes(), default="128", show_default=True, help="Hidden layers, 0 for none.")
@click.option("--epochs", type=click.IntRange(1), default=40, show_default=True, help="Passes over the training rows.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Rows in a step.")
@click.option("--learning-rate", type=float, default=3e-3, show_default=True, help="Step size of AdamW.")
@click.option("--weight-decay", type=float, default=1e-2, show_default=True, help="Decoupled weight decay.")
@click.option(
    "--label-smoothing", type=float, default=0.0, show_default=True, help="Share of the target spread evenly."
)
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Weigh every class alike, however rare it is.")
@click.option("--early-stopping", is_flag=True, help="Stop when the held-out loss falls no more; keep the best epoch.")
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Epochs without progress that early stopping bears.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the split, weights and batches."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps or auto.")
@click.option(
    "--baselines/--no-baselines",
    default=True,
    help="Train the most frequent class, logistic regression and boosting on the same split, to compare. Default: yes.",
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Of the report.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Run folder. Default: runs/NAME.")
@click.option(
    "--data-parallel",
    is_flag=True,
    help="Share each batch among the processes of torchrun --nproc-per-node=N -m crossent train …",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, by its own options.")
@click.option("--overwrite", is_flag=True, help="Replace an older run in the folder.")
@SAFE_CELLS
@click.option("--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("--progress/--no-progress", default=None, help="The bar. Default: where stderr is a terminal.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    out: Path | None,
    data_parallel: bool,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    progress: bool | None,
    **arguments: Any,
) -> None:
    """Train a classifier on DATA and write a run folder with its report.

    DATA is digits (the default), wine, iris or breast_cancer; or the path of a table: text (CSV and its kin), Parquet,
    Feather, Excel, ARFF, JSON with a record a line, packed or not; of an NPZ file with x and y, or x_train, y_train,
    x_test and y_test; or of a folder of IDX files as MNIST is distributed. What the file does not say is guessed and
    told in a line: separator, header, encoding, which words are missing values.

    Text columns become one-hot, prose TF-IDF, dates numbers; missing values are filled, numbers are scaled, all fitted
    on the training rows alone.
    Two classes get one logit and the binary loss. Ctrl-C saves a checkpoint; --resume goes on from it to the
    same bits as an uninterrupted run. Under torchrun, --data-parallel shares each batch among the processes; the
    result is that of one but for rounding, and --resume may go on with another number of them.
    """
    _require_libraries()
    from . import runs
    from .experiment import TrainingInterruptedError
    from .parallel import ranks

    together = ranks(data_parallel)
    first = together is None or together.first
    quiet = quiet or not first
    say: Callable[[str], object] = (lambda _: None) if quiet else lambda text: click.echo(printable(text))
    arguments = {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
    arguments["data"] = _absolute(arguments["data"])
    folder = out or Path("runs") / (Path(arguments["data"]).name.split(".")[0] or "data")
    if resume and overwrite:
        raise OptionError("--resume goes on with a run, --overwrite begins a new one; choose one of them")
    command = _command_line(ctx, arguments)
    if resume:
        if not runs.is_interrupted(folder):
            _require_finished(folder)
            say(f"{folder} is finished already: {folder / runs.REPORT}")
            return
        settings = runs.load_checkpoint_settings(folder)
        command, arguments = settings["command"], _stored(ctx, arguments, settings["arguments"], folder)
    elif first:
        runs.claim(folder, overwrite)
    experiment = _experiment(arguments, command, folder, say)
    experiment.ranks = together
    bar = not quiet and (sys.stderr.isatty() if progress is None else progress)
    try:
        evaluation = experiment.run(resume=resume, overwrite=overwrite, progress=bar)
    except TrainingInterruptedError as stop:
        saved = f"saved in {folder}; go on with: crossent train --resume --out {shlex.quote(str(folder))}"
        if first:
            click.echo(printable(f"{stop}; {saved if stop.saved else 'nothing was written'}"), err=True)
        ctx.exit(SIGNALLED + stop.number)
    if evaluation is not None:
        _summarise(evaluation, experiment.insight, folder / runs.REPORT, say)


@click.command(epilog="Example: crossent predict runs/digits digits --out predictions.csv")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="CSV file, device or pipe. Default: - (stdout)."
)
@reading_flags
@SAFE_CELLS
@click.option(
    "--explain",
    is_flag=True,
    help="Add the column explanation: by how much the label's probability falls if a column had its median value.",
)
@click.option("--no-calibration", is_flag=True, help="The network's own probabilities, without the fitted temperature.")
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    run: Path,
    data: str,
    out: Path | None,
    no_calibration: bool,
    explain: bool,
    safe_cells: bool,
    **given: Any,
) -> None:
    """Predict the classes of DATA with the classifier in the run folder RUN, as CSV.

    Each row has the label, its probability, and the probability of every class, calibrated by the temperature that was
    fitted on held-out rows. DATA is as for train, its columns found by name; of data with a test part, that part. If
    the target column is there too, the accuracy is printed to stderr. The file is read as the run's was, where no
    option says otherwise.
    """
    _require_libraries()
    from . import prediction, runs

    loaded = runs.load(run)
    before = loaded.settings["arguments"]
    reading = reading_options({name: given[name] if _is_given(ctx, name) else before.get(name) for name in READING})
    how = {"safe_cells": safe_cells, "explain": explain}
    text, notes = prediction.predict_table(loaded, _absolute(data), not no_calibration, reading, **how)
    content = text.encode("utf-8", "backslashreplace")
    if out is None or str(out) == "-":
        click.echo(content, nl=False)
    else:
        runs.write_whole(out, content)
    if runs.is_interrupted(run):
        notes.append(f"{run} has a newer training that was interrupted; this is the finished run before it")
    for note in notes:
        click.echo(printable(note), err=True)


def _require_finished(folder: Path) -> None:
    """There is nothing to go on with where the run is finished; where there is no run, that is an error."""
    from . import runs

    runs.load_settings(folder)
    with runs.hold(folder):  # puts in place what a killed process has committed
        pass


def _experiment(arguments: dict[str, Any], command: str, folder: Path, say: Callable[[str], object]) -> Any:
    """The experiment that the arguments describe."""
    from .experiment import Experiment
    from .options import TrainingOptions

    direct = (
        "epochs",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "label_smoothing",
        "early_stopping",
        "patience",
        "seed",
        "device",
    )
    options = TrainingOptions(
        hidden_layer_sizes=tuple(arguments["hidden"]), **{name: arguments[name] for name in direct}
    )
    return Experiment(
        source=arguments["data"],
        target=arguments["target"],
        held_out=arguments["held_out"],
        class_weight=arguments["class_weight"],
        options=options,
        folder=folder,
        command=command,
        arguments=arguments,
        reading=reading_options(arguments),
        baselines=arguments["baselines"],
        language=arguments["lang"],
        say=say,
        warn=lambda text: click.echo(printable(f"crossent: {text}"), err=True),
    )


def _stored(ctx: click.Context, given: dict[str, Any], stored: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The arguments of an interrupted run; one that was given anew has to be the same."""
    for name, value in given.items():
        if _is_given(ctx, name) and value != stored.get(name):
            raise OptionError(
                f"--{name.replace('_', '-')} is {value!r} here and {stored.get(name)!r} in {folder}; --resume goes on "
                "with the run's own options: leave it out"
            )
    missing = sorted(given.keys() - stored.keys())
    if missing:
        raise OptionError(f"the run in {folder} was begun by another version of crossent; it lacks {missing[0]!r}")
    return {name: stored[name] for name in given}


def _command_line(ctx: click.Context, arguments: dict[str, Any]) -> str:
    """The command that gives this run again: the data and the options that were given."""
    words = ["crossent", "train", arguments["data"]]
    for option in ctx.command.params:
        name = option.name or ""
        if name not in arguments or name == "data" or not _is_given(ctx, name):
            continue
        words += _words(option, arguments[name])
    return shlex.join(words)


def _words(option: click.Parameter, value: Any) -> list[str]:
    """An option as it stands on a command line."""
    if isinstance(value, bool):
        return [option.opts[0] if value else option.secondary_opts[0]]
    if option.multiple:
        return [word for one in value for word in (option.opts[0], one)]
    return [option.opts[0], ",".join(map(str, value or [0])) if isinstance(value, list) else str(value)]


def _is_given(ctx: click.Context, name: str) -> bool:
    """Whether a parameter stands on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _absolute(source: str) -> str:
    """A data set's name as it is, a path made absolute, so that a run can be resumed from elsewhere."""
    from .sources import BUILT_IN

    return source if source in BUILT_IN else str(files.expanded(source).absolute())


def _summarise(evaluation: Evaluation, insight: Insight, page: Path, say: Callable[[str], object]) -> None:
    """The result in a few lines."""
    from .report import calibration_line

    low, high = evaluation.accuracy_interval
    say(f"held-out accuracy  {evaluation.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})")
    say(f"held-out loss      {evaluation.loss:.4f}")
    say(f"calibration        {calibration_line(evaluation)}")
    if insight.baselines:
        others = ", ".join(f"{other.name} {other.accuracy:.1%}" for other in insight.baselines)
        say(f"beside it          {others}")
        say(f"                   {insight.verdict(evaluation.accuracy)}")
    if insight.importances:
        columns = ", ".join(f"{found.name} {found.rise.value:+.3f}" for found in insight.importances[:5])
        say(f"columns            {columns} (rise of the loss if shuffled)")
    say(f"report             {page}")


def _require_libraries() -> None:
    """Say in one line what to install, rather than fail at the first import."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"this command needs {', '.join(missing)}: install the extra crossent[train]")
