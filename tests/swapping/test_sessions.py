"""Session options and broken graphs."""

from __future__ import annotations

import pytest

from mfs_lib.errors import AssetError
from mfs_lib.swapping.sessions import open_session, session_options


def test_options_are_for_few_cores() -> None:
    options = session_options(2)
    assert options.intra_op_num_threads == 2 and not options.enable_mem_pattern
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_broken_graph_is_a_typed_error() -> None:
    with pytest.raises(AssetError, match="no graph that can be run"):
        open_session(b"nothing", session_options())
