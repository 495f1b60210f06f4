"""The TPU compiler needs no TPU and no cloud, and several processes may hold it: none runs anything."""

import os

os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
