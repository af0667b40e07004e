"""Networks whose features tell sets of images apart. One kind, one file."""
