"""Assess the trained network: accuracy, temperature, weak groups, and a verdict."""
