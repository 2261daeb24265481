"""Transfer: how near an edit brings events to a measured truth, beside simple methods and the noise floor."""
