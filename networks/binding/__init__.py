"""Binding: one tower per modality, trained so that the towers of one sample agree with its image's."""
