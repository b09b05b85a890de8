"""What is generated is what the code gives."""

from __future__ import annotations

from nlctl.generate import schema_keys
from nlctl.generate.everything import ROOT, stale, wanted
from nlctl.generate.reference import admin_api
from nlctl.generate.schema_keys import promised


def test_every_generated_file_is_fresh() -> None:
    """Statements 54 and 56; of 19 the rendered texts."""
    assert list(stale(wanted())) == [], "run make generate"


def test_no_key_of_a_document_is_lost_or_changes_its_type() -> None:
    """Statement 16."""
    kept = set((ROOT / schema_keys.PATH).read_text().splitlines())
    assert kept - promised() == set(), "keys are only added under the same version; whoever must, takes the line out"


def test_everything_of_the_admin_service_is_on_its_page() -> None:
    source = (
        '// About it.\n\nsyntax = "proto3";\n\npackage a;\n\n// One server.\nservice Admin {\n  // Says hello.\n'
        "  rpc Hello(Ask) returns (Answer);\n}\n\nmessage Ask {}\n\n// What it says.\n// Twice.\nmessage Answer {\n"
        "  // A word.\n  string word = 1;\n}\n"
    )
    page = admin_api(source)
    assert "About it." in page
    assert "## Admin\n\nOne server.\n\n```proto\nservice Admin {\n  // Says hello.\n" in page
    assert "## Ask\n\n```proto\nmessage Ask {}\n```" in page
    assert "## Answer\n\nWhat it says.\nTwice.\n\n```proto\n" in page
