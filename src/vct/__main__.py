"""`python -m vct`, as torchrun and `vct.launch` start it."""

from vct.cli import entry

entry()
