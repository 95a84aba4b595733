"""Where numbers become exhibits: tables and figures with the published values beside ours."""
