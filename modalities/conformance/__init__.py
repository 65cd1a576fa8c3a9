"""The contract of a modality as named checks, for built-in ones and for the suites of packages that bring their own.

    from modalities.conformance.check import assert_conforms
    assert_conforms(MODALITY, values)

Arrays have the shape that the layout says: (side, side) for one channel or classes, else (side, side, channels);
(channels,) for vectors; (up to max_tokens, channels) for embeddings. Values are compared through arrays, records,
strings and numbers, within a tolerance.
"""
