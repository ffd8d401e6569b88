"""Recipes: TOML files as frozen dataclasses, and the ablations of a recipe. Start at recipe.py."""
