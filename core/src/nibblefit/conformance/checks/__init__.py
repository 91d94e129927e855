"""The checks, one module per family; importing this package registers them all, in order."""

from nibblefit.conformance.checks import (  # noqa: F401 - imported to register
    artifact,
    contract,
    errors,
    exact,
    graph,
    numerics,
    resume,
    stages,
    unread,
)
