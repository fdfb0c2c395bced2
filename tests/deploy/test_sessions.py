"""Sessions, and what is no graph."""

from __future__ import annotations

import pytest

from mfs_lib.deploy.onnx import person_model
from mfs_lib.deploy.sessions import open_session, runner
from mfs_lib.errors import AssetError
from tests.deploy.conftest import lively_static, picture


def test_options_are_for_few_cores() -> None:
    model = person_model(lively_static(), size=64)
    wanted = runner(open_session(model))({"target": picture().numpy()})
    for options in ({"once": True}, {"threads": 2}):
        session = open_session(model, **options)  # type: ignore[arg-type]
        assert session.get_providers() == ["CPUExecutionProvider"]
        chosen = session.get_session_options()
        assert chosen.intra_op_num_threads == options.get("threads", 1)
        assert (chosen.enable_cpu_mem_arena, chosen.enable_mem_pattern) == ("once" not in options, False)
        assert chosen.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        found = runner(session)({"target": picture().numpy()})
        assert abs(found["raw"] - wanted["raw"]).max() < 1e-5


def test_a_broken_graph_is_a_typed_error() -> None:
    with pytest.raises(AssetError, match="no graph that can be run"):
        open_session(b"nothing")
