"""What ``make docs`` runs, ``python -m docs.render FOLDER``: the docstrings of every module as pages in a folder."""

from __future__ import annotations

import os
import pkgutil
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pdoc

import separation


def open_up(package: ModuleType) -> None:
    """List a package's modules beside its names, all the way down, and load what would load when it is first used."""
    names = list(getattr(package, "__all__", []))
    for name in names:
        setattr(package, name, getattr(package, name))
    modules = [module for module in pkgutil.iter_modules(package.__path__) if module.name != "__main__"]
    package.__dict__["__all__"] = [*names, *(module.name for module in modules)]
    for module in modules:
        if module.ispkg:
            open_up(import_module(f"{package.__name__}.{module.name}"))


def main(out: Path) -> None:
    os.environ.pop("MUSDB_ROOT", None)  # pages that show defaults shall say the same everywhere
    warnings.simplefilter("error", UserWarning)  # pdoc's word for a name that leads nowhere
    open_up(separation)
    pdoc.render.configure(docformat="numpy", math=True, footer_text=f"Stemscope {separation.__version__}")
    pdoc.pdoc("separation", output_directory=out)
    print(out / "index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
