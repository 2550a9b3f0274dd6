"""The runner of documentation pages: what it accepts and what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.docs.pages import needs, run_page, shell_commands


@pytest.fixture
def write_page(tmp_path: Path):
    def write(text: str) -> Path:
        page = tmp_path / "page.md"
        page.write_text(text.replace("'''", "```"), encoding="utf-8")
        return page

    return write


def test_run_page_output_as_shown_passes_and_blocks_share_names(write_page) -> None:
    page = write_page("'''python\nx = start + 1\n'''\nText.\n'''python\nprint(x)\n'''\n\n'''output\n42\n'''\n")
    assert run_page(page, {"start": 41}) == 3


def test_run_page_other_output_fails_with_both_and_the_line(write_page) -> None:
    page = write_page("# Title\n\n'''python\nprint(42)\n'''\n'''output\n41\n'''\n")
    with pytest.raises(SybilFailure, match=r"line 6(?s:.*)- 41(?s:.*)\+ 42"):
        run_page(page, {})


@pytest.mark.parametrize("after", ["", "'''python\npass\n'''\n'''output\n42\n'''\n"])
def test_run_page_print_without_output_block_fails(write_page, after: str) -> None:
    page = write_page("'''python\nprint(42)\n'''\n" + after)
    with pytest.raises(SybilFailure, match=r"no output block(?s:.*)42"):
        run_page(page, {})


def test_run_page_output_block_without_any_print_fails(write_page) -> None:
    with pytest.raises(SybilFailure, match="- 42"):
        run_page(write_page("'''python\nx = 1\n'''\n'''output\n42\n'''\n"), {})


def test_run_page_ellipsis_stands_for_what_varies(write_page) -> None:
    page = write_page("'''python\nprint('at 10:00:01 by alice  ')\n'''\n'''output\nat ... by alice\n'''\n")
    assert run_page(page, {}) == 2


def test_run_page_raising_block_raises_with_the_page_in_the_traceback(write_page) -> None:
    page = write_page("Text.\n\n'''python\nx = 1\n1 / 0\n'''\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page, {})
    last = caught.traceback[-1]
    assert (Path(last.path).name, last.lineno + 1) == ("page.md", 5)


def test_run_page_classes_belong_to_a_module_of_the_page(write_page) -> None:
    page = write_page("'''python\nimport sys\nclass C: pass\nassert sys.modules[C.__module__].C is C\n'''\n")
    assert run_page(page, {}) == 1


def test_run_page_block_in_another_language_is_left_alone(write_page) -> None:
    assert run_page(write_page("'''text\n1 / 0\n'''\n'''\n1 / 0\n'''\n'''sql\nSELECT 1\n'''\n"), {}) == 0


def test_needs_comment_names_what_the_page_needs(write_page) -> None:
    assert needs(write_page("<!-- needs: deephaven -->\n\nText\n")) == {"deephaven"}


def test_shell_commands_prompts_comments_and_output_are_told_apart(write_page) -> None:
    page = write_page("'''sh\n# first\nmake demo\n'''\n'''console\n$ make test\n409 passed\n'''\n")
    assert shell_commands(page) == ["make demo", "make test"]
