"""What the suites that run in Python share: servers, waiting, refusals, a look into the database, and their fixtures.

A directory above is on the path of each of them: by `pythonpath` in its pytest.ini, or by PYTHONPATH in its script. Only the
standard library is needed for `server`, `database` and `waiting`, which the quick starts use without an environment of their own.
"""
