"""The version of the verdict's method, apart from it: the web tier names it without kernels."""

# Part of the question that a worker answers: raise it when the same numbers get another verdict, so
# that what was stored by the old method is computed again.
VERDICT_VERSION = "1"
