"""Reference levels of scores: chance and tokenizer round trips."""
