"""From an Experiment to a Trial: the only place that makes parts."""
