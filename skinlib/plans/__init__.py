"""One file a paper: ``plan(profile) -> {name: RunConfig}``, pure: which runs the paper needs."""
