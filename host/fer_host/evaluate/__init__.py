"""How good a network is: a bundle's metrics, a conversion's gates, what a decision rests on. Start at evaluate.py."""
