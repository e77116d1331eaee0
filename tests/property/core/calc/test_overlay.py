"""The ways between nodes equal their definition, whatever moves."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.graph import Graph
from calico.core.calc.intended import intended
from calico.core.calc.settings import CalcSettings
from calico.core.model.keys import BlockKey
from strategies import HERE, place_updates
from worlds import Believer

settings = st.builds(
    CalcSettings,
    ipip=st.sampled_from((None, None, True, False)),
    vxlan=st.sampled_from((None, None, True, False)),
    owns_plain=st.booleans(),
)


@given(st.lists(place_updates, max_size=12), settings)
def test_equals_its_definition(batches, settings):
    graph, believer = Graph(HERE, settings), Believer()
    known, blocks = {}, {}
    for batch in batches:
        for key, value in batch:
            table = blocks if isinstance(key, BlockKey) else known
            table.pop(key, None)
            if value is not None:
                table[key] = value
            if isinstance(key, BlockKey):
                graph.set_block(key, value)
            else:
                graph.set_resource(key, value)
        believer.apply(graph.flush())
        believer.expect(intended(known, HERE, settings, blocks=blocks))
