"""Pictures for people: colors of values, and sheets of pictures."""
