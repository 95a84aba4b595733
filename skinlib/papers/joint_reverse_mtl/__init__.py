"""Al-masni et al. 2024: the model, the plan of its runs, and its exhibits."""
