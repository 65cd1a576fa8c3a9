"""The sample gallery of an ablation: presets and contact sheets."""
