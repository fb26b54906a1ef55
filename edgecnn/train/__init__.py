"""A lab folder -> a MODEL folder; the package itself can be called: see callable.py."""

from edgecnn.callable import make_callable

make_callable(__name__, "train", "train")
