"""Verbs that another room or an installed package adds through the entry-point group "handfirst.commands".

They are listed by name alone and imported only when they are called, so that the runtime starts fast, needs none of
their dependencies, and imports nothing of theirs.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from handfirst.engines.errors import UserError

GROUP = "handfirst.commands"
HELP = {
    "data": "Make and inspect training data.",
    "prepare": "Turn data sets of pictures into training shards.",
    "train": "Train the stage models.",
    "init": "Turn a Stable Diffusion checkpoint into an untrained model.",
    "export": "Turn trained models into a bundle.",
    "evaluate": "Measure how good pictures are.",
}
EXTRAS = {
    "data": "train",
    "prepare": "train",
    "train": "train",
    "init": "train",
    "export": "export",
    "evaluate": "metrics",
}


@cache
def plugins() -> dict[str, EntryPoint]:
    """The verbs that are registered, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


class PluginGroup(TyperGroup):
    """A group of commands whose own verbs come first; those of plugins follow and stay unloaded until called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*self.commands, *(name for name in plugins() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb; for a room only its name and a line of help, which is all that a listing needs."""
        if cmd_name in self.commands or cmd_name not in plugins():
            return super().get_command(ctx, cmd_name)
        return TyperGroup(name=cmd_name, help=HELP.get(cmd_name, f"From {plugins()[cmd_name].value}."))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that runs: here, and only here, a room is imported."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in plugins() and name not in self.commands:
            room: typer.Typer = plugins()[name].load()
            room.rich_markup_mode = self.rich_markup_mode
            command = typer.main.get_group(room)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb.

        Raises:
            UserError: a library of a room is not installed.
        """
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if not words or words[0] not in EXTRAS or missing in ("", "handfirst"):
                raise
            raise UserError(_remedy(words[0], missing)) from error


def _remedy(verb: str, missing: str) -> str:
    extra = EXTRAS[verb]
    name = {"train": "training"}.get(extra, extra)
    return f"'handfirst {verb}' needs the {name} extra ('{missing}' is missing); run: pip install 'handfirst[{extra}]'"
