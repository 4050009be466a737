"""Rows of tokens for the tests of training passes."""

from hypothesis import strategies as st

TOKENS = st.lists(st.integers(1, 3), min_size=1, max_size=8)


@st.composite
def batches(draw):
    """Draw rows that often begin alike, with adapters and kept ends."""
    stems = draw(st.lists(TOKENS, min_size=1, max_size=3))
    rows, adapters, keep = [], [], []
    for _ in range(draw(st.integers(1, 9))):
        row = draw(st.sampled_from(stems)) + draw(TOKENS)
        rows.append(row)
        adapters.append(draw(st.sampled_from(["a", "b", None])))
        keep.append(draw(st.integers(1, len(row))))
    return rows, adapters, keep
