"""The graph equals its definition, whatever the batches."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.graph import Graph
from calico.core.calc.intended import intended
from calico.core.calc.settings import CalcSettings
from strategies import HERE, batches
from worlds import Believer


@given(batches, st.booleans(), st.sampled_from((0, 1)))
def test_equals_its_definition(batches, allow_source_spoofing, revises):
    settings = CalcSettings(allow_source_spoofing=allow_source_spoofing)
    graph, believer = Graph(HERE, settings), Believer()
    resources, revisions, revision = {}, {}, 0
    for batch in batches:
        for key, value in batch:
            revision += revises
            graph.set_resource(key, value, revision)
            resources.pop(key, None)
            if value is not None:
                resources[key], revisions[key] = value, revision
        believer.apply(graph.flush())
        believer.expect(intended(resources, HERE, settings, revisions))
