"""`python -m vct`, as torchrun and `vct.lab.processes.launch` start it."""

from vct.lab.cli import entry

entry()
