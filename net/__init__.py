"""Reaching other machines on behalf of those who may not be trusted with where: what is private stays out of reach."""
