"""The one training loop: what every training shares, whatever it trains."""
