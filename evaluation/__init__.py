"""How good a model is: held-out samples, the same questions for every arm, and a report that says what is noise."""
