"""The `handfirst` command: its verbs, and how an error becomes one line and an exit code.

0 done, 1 `doctor` says that the default does not work here, 2 a user error (one line on stderr, nothing written), 3 a
batch of which some jobs failed, 130 interrupted.
Anything else is a bug and shows its traceback. Start-up imports no engine and no array library: each verb imports what
it needs when it runs.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import cache
from handfirst.runtime.cli.batch import batch
from handfirst.runtime.cli.build import build
from handfirst.runtime.cli.demo import demo
from handfirst.runtime.cli.doctor import doctor
from handfirst.runtime.cli.output import one_line
from handfirst.runtime.cli.plugins import PluginGroup
from handfirst.runtime.cli.pose import pose
from handfirst.runtime.cli.profile import profile
from handfirst.runtime.cli.render import render
from handfirst.runtime.cli.repair import repair
from handfirst.runtime.cli.sample import sample
from handfirst.runtime.cli.serve import serve
from handfirst.runtime.cli.show import show
from handfirst.runtime.cli.verify import verify

# The base of all errors of the command line's own parser. The parser moved between packages; its errors did not change.
ParserError: type[Exception] = next(k for k in typer.BadParameter.__mro__ if k.__name__ == "ClickException")
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    cls=PluginGroup,
    help="Human pictures with hands that are right: hands first, then the body.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,  # frames leave no room for the words at 80 columns
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (demo, render, repair, sample, batch, serve, verify, pose, show, build, profile, doctor):
    app.command()(verb)
app.add_typer(cache.app, name="cache")


@app.callback()
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"handfirst {installed('handfirst')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with `arguments` (default: the process's own) and returns its exit code."""
    command = typer.main.get_command(app)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not fit the terminal's encoding
    given = None if arguments is None else list(arguments)
    try:
        answer = command.main(args=given, prog_name="handfirst", standalone_mode=False)
    except UserError as error:
        return _fail(str(error))
    except ParserError as error:
        return _parser_error(error)
    except (KeyboardInterrupt, typer.Abort):
        answer = EXIT_INTERRUPTED
    except MemoryError:
        return _fail("not enough memory; ask for fewer or smaller pictures at once")
    except OSError as error:
        return _fail(_os_error(error))
    if answer == EXIT_INTERRUPTED:  # the parser turns Ctrl-C into this code
        print("interrupted", file=sys.stderr)
    return answer if isinstance(answer, int) else 0


def _fail(message: str) -> int:
    """One line on stderr, whatever the message holds."""
    print("error:", one_line(message), file=sys.stderr)
    return EXIT_ERROR


def _parser_error(error: Exception) -> int:
    """A wrong option or argument; a group that was called without a verb shows its help instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error)
        return EXIT_ERROR
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "handfirst"
    message = getattr(error, "format_message", error.__str__)()
    return _fail(f"{message.rstrip('.')}; see: {path} --help")


def _os_error(error: OSError) -> str:
    place = f"'{error.filename}': " if error.filename else ""
    return f"{place}{error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
