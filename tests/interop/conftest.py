from __future__ import annotations

import pytest
from movies import MovieShelf


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> MovieShelf:
    """All movies by name, made when they are asked for."""
    return MovieShelf(tmp_path_factory.mktemp("movies"))
