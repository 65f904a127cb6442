"""Code of the user's: found without being run, and whatever it does told in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import outside
from harness.errors import SpecError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "their_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('it was run')\n")
    (folder / "nets.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_module_is_found_without_running_the_packages_that_it_lies_in(package: Path) -> None:
    assert outside.file_of("their_package.nets", "model.factory") == package / "nets.py"
    assert outside.file_of("their_package", "model.factory") == package / "__init__.py"
    assert "their_package" not in sys.modules


@pytest.mark.parametrize("source", ["their_package.none", "their_package.nets.deeper", "no_such_package", "a..b", ""])
def test_a_module_that_is_not_there_is_one_line(package: Path, source: str) -> None:
    with pytest.raises(SpecError, match=r"^key: no module") as caught:
        outside.file_of(source, "key")
    assert "\n" not in str(caught.value)


def test_code_that_ends_the_process_does_not_end_ours(package: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import sys; sys.exit(0)\n")
    for source in (str(tmp_path / "net.py"), "their_package.nets"):
        with pytest.raises(SpecError, match="cannot be imported: SystemExit"):
            outside.load(source, "key")


def test_a_folder_without_an_init_within_a_package_is_looked_into(package: Path) -> None:
    (package / "outer" / "inner").mkdir(parents=True)
    (package / "outer" / "inner" / "nets.py").write_text("")
    assert outside.file_of("their_package.outer.inner.nets", "key") == package / "outer" / "inner" / "nets.py"
