"""Methods of one kind by name, each registered by the file that defines it: in the package, or in the project's extensions/."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pipeline.core.errors import UserError
from pipeline.core.files import project_root

T = TypeVar("T")

EXTENSIONS = Path("extensions")
"""In the project's root: files of one's own, in a folder for each kind of method."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Registry(Mapping[str, T]):
    """Name -> method, as a mapping that reads its files when it is first asked.

    Those of the package come first, in the `order` of its modules and then by name; those of extensions/KIND/*.py follow.
    """

    def __init__(self, noun: str, package: str, order: Sequence[str] = ()) -> None:
        self.noun = noun
        self.folder = EXTENSIONS / package.rpartition(".")[2]
        self._package, self._order = package, order
        self._built_in: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        self._added: dict[Path, dict[str, T]] = {}
        self._loading: dict[str, T] | None = None
        self._complete = False

    def register(self, name: str, method: T, module: str) -> None:
        """Add what `module` defines. Raise UserError for a name that is taken, or is no word in small letters."""
        target = self._built_in if self._loading is None else self._loading
        if name in self._built_in | target:
            raise UserError(f"there is a {self.noun} called {name!r} already; give one of the two another name")
        if not _NAME.fullmatch(name):
            raise UserError(f"a {self.noun}'s name has small letters, digits and '_' alone, got {name!r}")
        target[name] = method
        self._modules[name] = module.rpartition(".")[2]

    def named(self, name: str) -> T:
        """Return the method of this name. Raise UserError that lists the names where there is none."""
        if name not in self:
            raise UserError(f"{self.noun} must be one of {', '.join(self)}, got {name!r}")
        return self[name]

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Mapping[str, T]:
        if self._loading is not None:
            return self._built_in | self._loading
        if not self._complete:
            self._complete = True  # before the modules, which may ask while they load
            self._load_package()
        folder = project_root() / self.folder
        if folder not in self._added:
            self._added[folder] = self._extensions(folder)
        return self._built_in | self._added[folder]

    def _load_package(self) -> None:
        paths = sys.modules[self._package].__path__
        found = sorted(module.name for module in pkgutil.iter_modules(paths))
        modules = [*self._order, *(name for name in found if name not in self._order)]
        for name in modules:
            importlib.import_module(f"{self._package}.{name}")
        # Some may have been imported before, by whoever needs just them.
        names = sorted(self._built_in, key=lambda name: modules.index(self._modules[name]))
        self._built_in = {name: self._built_in[name] for name in names}

    def _extensions(self, folder: Path) -> dict[str, T]:
        found: dict[str, T] = {}
        for file in sorted(folder.glob("[!_.]*.py")):
            before = len(found)
            self._loading = found
            try:
                _run(file, f"{folder.name}_of_project.{file.stem}")
            finally:
                self._loading = None
            if len(found) == before:
                raise UserError(f"{self.folder / file.name} registers no {self.noun}; {self.folder}/README.md shows how to")
        return found


def _run(file: Path, name: str) -> None:
    """Import an extension under `name`. Raise UserError that says where and why it cannot be."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise_at(file, error)


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a method's function. Raise UserError that names file, line and error where one of an extension fails."""
    try:
        return function(*arguments)
    except Exception as error:
        file = Path(function.__code__.co_filename)
        if EXTENSIONS.name not in file.parts or isinstance(error, UserError):
            raise
        raise_at(file, error)


def raise_at(file: Path, error: BaseException) -> NoReturn:
    """Raise UserError with the extension's name, the line in it where the error arose, and the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    where = Path(EXTENSIONS, file.parent.name, file.name).as_posix() + (f", line {lines[-1]}" if lines else "")
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    what = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}".removesuffix(": ")
    raise UserError(f"{where}: {' '.join(what.split())}") from error
