"""Small cases of every kind, made by plain implementations that share no code with the project's."""
