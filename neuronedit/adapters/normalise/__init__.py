"""From a sample sheet to corrected FCS files: the roles of samples, the steps that are done, and what came of them."""
