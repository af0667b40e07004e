"""What users put under data/raw: files of unknown origin, read within bounds."""
