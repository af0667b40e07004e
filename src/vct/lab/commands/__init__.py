"""One file a `vct` command: read, call, write."""
