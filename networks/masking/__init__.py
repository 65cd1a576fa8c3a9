"""Which tokens the encoder sees and the decoder predicts."""
