"""Mutants that no test can kill, and why: what they change is no number that anybody gets. See `mutants.py`."""

# (module, statement, change) -> why; a change that is missing stands for all of its statement.
EQUIVALENT = {}


def why_equivalent(mutant):
    """The argument, or an empty string."""
    module = mutant.module.rsplit('.')[-1]
    for change in (mutant.change, ''):
        if why := EQUIVALENT.get((module, mutant.code, change)):
            return why
    return ''
