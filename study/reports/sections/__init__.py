"""The sections of an ablation's report that belong to some tasks only."""
