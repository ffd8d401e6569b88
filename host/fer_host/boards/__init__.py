"""What boards measured: operator times, predictions and budgets from them, the report. Start at predict.py."""
