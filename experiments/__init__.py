"""Choices: which runs are compared, where stages run, what is kept; and the command line."""
