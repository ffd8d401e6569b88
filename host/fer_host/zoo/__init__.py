"""What ships: model cards and the listing of recipes. Start at card.py."""
