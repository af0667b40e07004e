"""params.yaml: one file a section."""
