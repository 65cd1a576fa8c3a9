"""The runtime type checker of the test suite: beartype, to which an int is a float, as to mypy."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
