"""What every room may use. Knows neither problems nor models, and imports nothing heavy."""
