"""Published 4M checkpoints: what their configs and tensors say, in our terms, and the way back.

Dictionaries of tensors in, modules out. Files, folders and the hub are `lightning_modules.published`'s.
"""
