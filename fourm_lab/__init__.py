"""The front door for Python: the names that a notebook or a script needs, gathered from the layers below."""
