"""The sections of an ablation's report that have a module of their own; some belong to a few tasks only."""
