#!/usr/bin/env python
"""The reference in docs/api, made from the docstrings: `python scripts/api.py` writes it, `--check` compares.

A page for `handfirst`, whose names are a promise, a page for each module that applications and systems build on, and a
page for the command line. Fails with a list where a public name, field or option does not say what it is. Runs with
the package installed; needs nothing else.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "api"
MODULES = (
    "handfirst",
    "handfirst.runtime.pose.person",
    "handfirst.runtime.systems.two_stage.request",
    "handfirst.runtime.timing.spans",
    "handfirst.runtime.metadata",
    "handfirst.runtime.system",
    "handfirst.engines.engine",
    "handfirst.engines.spec",
    "handfirst.engines.bundle",
    "handfirst.engines.verify",
)
COMMANDS = "command-line"
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")
ENTRY = re.compile(r"(\*{0,2}[\w., ]+?): (.*)")
HEAD = "<!-- made by scripts/api.py from the docstrings: change those -->\n\n"


class Reference:
    """Collects the pages, and what is missing."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def pages(self) -> dict[str, str]:
        """Markdown by the file's name."""
        made = {f"{name}.md": self._module(importlib.import_module(name)) for name in MODULES}
        made[f"{COMMANDS}.md"] = self._commands()
        lines = [f"- [{name}]({name}.md): {_first(importlib.import_module(name))}" for name in MODULES]
        index = [
            "# Reference",
            "Names of `handfirst` itself keep their meaning until the next major version, as does the command line; "
            "what the other modules hold may change with any.",
            "\n".join([*lines, f"- [the command line]({COMMANDS}.md)"]),
        ]
        return {name: HEAD + text for name, text in {"README.md": "\n\n".join(index) + "\n", **made}.items()}

    def _module(self, module: Any) -> str:
        blocks = [f"# {module.__name__}", *_prose(self._doc(module.__name__, module))]
        for name in _public(module):
            thing = getattr(module, name)
            title = f"{module.__name__}.{name}"
            blocks.append(f"## {name}")
            blocks += self._class(title, thing) if inspect.isclass(thing) else self._function(title, thing)
        return "\n\n".join(blocks) + "\n"

    def _class(self, title: str, cls: type) -> Iterator[str]:
        doc = self._doc(title, cls)
        bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
        fields = dict(self._fields(title, cls, doc))
        plain = "__init__" in vars(cls) and not fields
        yield _code(f"class {cls.__name__}{_signature(cls) if plain else f'({bases})' if bases else ''}")
        yield from _prose(doc)
        if fields:
            yield "\n".join(fields.values())
        for name, member in _members(cls).items():
            if name.startswith("_"):
                continue
            if isinstance(member, property):
                said = self._doc(f"{title}.{name}", member)
                kind = _bare(inspect.signature(member.fget).return_annotation)
                yield from (f"### {name}", _code(f"{name}: {kind}"), *_prose(said))
            elif inspect.isroutine(member):
                yield f"### {name}"
                yield from self._function(f"{title}.{name}", getattr(cls, name))

    def _fields(self, title: str, cls: type, doc: str) -> Iterator[tuple[str, str]]:
        """A line for each field of a dataclass, named tuple, protocol or model: said below it, or under Attributes."""
        listed = {name.strip() for line in doc.splitlines() for name in line.strip().partition(":")[0].split(",")}
        for node in _body(cls):
            if isinstance(node.statement, ast.AnnAssign) and isinstance(node.statement.target, ast.Name):
                name = node.statement.target.id
                if name.startswith("_") or name == "model_config":
                    continue
                if node.said is None and name not in listed:
                    self.missing.append(f"{title}.{name}")
                value = f" = {ast.unparse(node.statement.value)}" if node.statement.value else ""
                said = " ".join((node.said or "").split())
                yield name, f"- `{name}: {ast.unparse(node.statement.annotation)}{value}`{f': {said}' if said else ''}"

    def _function(self, title: str, function: Any) -> Iterator[str]:
        yield _code(f"{title.rpartition('.')[2]}{_signature(function)}")
        yield from _prose(self._doc(title, function))

    def _doc(self, title: str, thing: Any) -> str:
        said = inspect.getdoc(thing) if inspect.ismodule(thing) else inspect.cleandoc(thing.__doc__ or "")
        if not said or said.startswith(f"{getattr(thing, '__name__', '')}("):  # what dataclasses write by themselves
            self.missing.append(title)
        return said or ""

    def _commands(self) -> str:
        import typer

        from handfirst.runtime.cli.main import app

        blocks = [
            "# The command line",
            *_prose(inspect.getdoc(importlib.import_module("handfirst.runtime.cli.main")) or ""),
        ]
        for name, command in typer.main.get_group(app).commands.items():
            verbs = getattr(command, "commands", None)
            for words, verb in [(name, command)] if verbs is None else [(f"{name} {v}", c) for v, c in verbs.items()]:
                blocks += [f"## handfirst {words}", *_prose(verb.help or "")]
                lines = [self._option(words, each) for each in verb.params if each.name != "help"]
                blocks += ["\n".join(lines)] if lines else []
                if not verb.help:
                    self.missing.append(f"handfirst {words}")
        return "\n\n".join(blocks) + "\n"

    def _option(self, words: str, option: Any) -> str:
        if not option.help:
            self.missing.append(f"handfirst {words}: {option.name}")
        argument = option.param_type_name == "argument"
        names = [option.metavar or option.name.upper()] if argument else [*option.opts, *option.secondary_opts]
        metavar = f" {option.metavar}" if option.metavar and not argument else ""
        default = _default(option)
        said = " (must be given)" if option.required else f" ({default})" if default else ""
        return f"- `{', '.join(names)}{metavar}`{said}: {option.help}"


def _default(option: Any) -> str:
    """What an option is if nobody says it; nothing for switches that are off, and for what has no default."""
    value = getattr(option.default, "value", option.default)
    if isinstance(option.show_default, str):
        return f"default: {option.show_default}"
    if isinstance(value, bool):
        return f"default: {(option.opts if value else option.secondary_opts)[0]}" if option.secondary_opts else ""
    return "" if value in (None, "") else f"default: {value}"


def _members(cls: type) -> dict[str, Any]:
    """Its own, and those that it has from what loaded models have in common."""
    shared = [base for base in cls.__mro__[1:] if base.__module__ == "handfirst.runtime.loaded"]
    return dict(vars(cls)) | {n: m for base in shared for n, m in vars(base).items() if n not in vars(cls)}


@dataclasses.dataclass(frozen=True)
class _Statement:
    statement: ast.stmt
    said: str | None


def _body(cls: type) -> list[_Statement]:
    """The statements of a class, each with the text that stands below it."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    texts = [
        each.value.value if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) else None
        for each in tree.body[1:]
    ]
    return [_Statement(each, said) for each, said in zip(tree.body, [*texts, None], strict=True)]


def _public(module: Any) -> list[str]:
    """What `__all__` names, or the classes and functions that the module itself defines, in its order."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("__")]
    own = ((name, each) for name, each in vars(module).items() if not name.startswith("_"))
    return [
        name
        for name, each in own
        if (inspect.isclass(each) or inspect.isfunction(each)) and each.__module__ == module.__name__
    ]


def _signature(thing: Any) -> str:
    """As it is written, without quotes around its annotations."""
    found = inspect.signature(thing)
    kept = [
        each.replace(annotation=_Bare(_bare(each.annotation))) if each.annotation is not each.empty else each
        for each in found.parameters.values()
    ]
    back = found.return_annotation
    returns = found.empty if inspect.isclass(thing) or back is found.empty else _Bare(_bare(back))
    return str(found.replace(parameters=kept, return_annotation=returns))


class _Bare(str):
    """Text that shows itself without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _bare(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _first(module: Any) -> str:
    return (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")


def _prose(doc: str) -> Iterator[str]:
    """Paragraphs; the entries of a section ("Args:") become a list."""
    for block in doc.split("\n\n"):
        lines = block.splitlines()
        if not lines or not SECTION.fullmatch(lines[0].strip()) or lines[0].startswith(" "):
            yield block
            continue
        items: list[str] = []
        for line in inspect.cleandoc("\n".join(lines[1:])).splitlines():
            entry = ENTRY.fullmatch(line)
            if entry and not line.startswith(" "):
                items.append(f"- **{entry[1]}**: {entry[2]}")
            elif items:
                items[-1] += f" {line.strip()}"
            else:
                items.append(f"- {line.strip()}")
        yield f"*{lines[0].strip()}*"
        yield "\n".join(items)


def main() -> int:
    """Writes the pages, or with --check says which differ; 1 where something is missing or differs."""
    reference = Reference()
    pages = reference.pages()
    for name in reference.missing:
        print(f"error: {name} does not say what it is; give it a docstring", file=sys.stderr)
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    differ = sorted(name for name in {*pages, *there} if pages.get(name) != there.get(name))
    if "--check" in sys.argv:
        for name in differ:
            print(f"error: docs/api/{name} is not what the docstrings say; run: python scripts/api.py", file=sys.stderr)
        return bool(differ or reference.missing)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in differ:
        if name in pages:
            (FOLDER / name).write_text(pages[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return bool(reference.missing)


if __name__ == "__main__":
    sys.exit(main())
