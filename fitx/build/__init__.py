"""From an Experiment to a BuiltExperiment: the only place that makes parts."""
