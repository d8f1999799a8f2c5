"""The settings' documentation is current and whole."""

from __future__ import annotations

from pathlib import Path

from streamsocket.settings.model import settings_fields
from streamsocket.settings.reference import settings_reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_document_is_what_the_model_says() -> None:
    assert DOCUMENT.read_text() == settings_reference(), (
        "run: python -m streamsocket.settings.reference > docs/settings.md"
    )


def test_every_setting_is_described() -> None:
    text = settings_reference()
    for path, field in settings_fields():
        assert field.description, path
        assert f"STREAMSOCKET_{'__'.join(path).upper()}`" in text
