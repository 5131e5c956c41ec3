"""The stock-backtest command."""
