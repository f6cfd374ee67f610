"""How weights learn: updates of bounded passes, on one process or several. PRMs, judges and policies are its users.

A floor below prm/ and train/mat/: it knows neither solutions nor rewards.
"""
