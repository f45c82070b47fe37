"""Needs a module that nobody has."""

import a_module_that_nobody_has

from postscan.plugins import Filter, hookimpl


class Faulty(Filter):
    """Does not come this far."""

    dialect = "urn:faulty:import-error"
    title = "Faulty"

    def run(self, job, token):
        a_module_that_nobody_has.do(job)


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
