"""Selection of the tokens that the encoder sees and the decoder predicts."""
