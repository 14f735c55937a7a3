"""The command `learndock`: its verbs, and how an error ends it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from learndock.cli.backup import backup
from learndock.cli.check import check
from learndock.cli.contents import get, ls, rm
from learndock.cli.demo import demo
from learndock.cli.doctor import doctor
from learndock.cli.history import history
from learndock.cli.import_market import import_market
from learndock.cli.info import info
from learndock.cli.optimize import optimize
from learndock.cli.output import error_line, print_line
from learndock.cli.pack import pack
from learndock.cli.review import review
from learndock.cli.scaling import scaling
from learndock.cli.search import search
from learndock.cli.spec import spec
from learndock.cli.stats import stats
from learndock.cli.submit import submit, update
from learndock.errors import LearndockError

__all__ = ["app"]


class _Verbs(TyperGroup):
    """The verbs; an error of ours or of the file system is one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `learndock ls dock | head`: typer ends quietly
        except (LearndockError, OSError) as error:
            error_line(error)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="A learnware dock: find trained models by what their training data looked like, and reuse them.",
    epilog="Exit codes: 0 done; 1 an error, in one line on stderr; 2 wrong usage; 3 the work was done, and the answer "
    "is no: an invalid learnware, a damaged dock, learnwares of a market that were not added.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    from learndock import __version__

    if asked:
        print_line(f"learndock {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


_VERBS = (
    demo,
    spec,
    pack,
    check,
    submit,
    update,
    review,
    search,
    get,
    rm,
    ls,
    info,
    stats,
    scaling,
    history,
    doctor,
    optimize,
    backup,
    import_market,
)
for verb in _VERBS:
    app.command()(verb)
