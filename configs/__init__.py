"""One file a protocol; `common` holds the defaults."""
