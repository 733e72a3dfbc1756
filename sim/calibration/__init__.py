"""Calibration: constants of scenarios fitted to measurements, and what the fit is worth.

A targets file (`model`) names constants within bounds and measurements with their sources. `runs` evaluates sets
of constants, many simulations at a time, on the runners of studies; `fit` searches the constants with which the
figures come closest to the measurements; `uncertainty` says how well the measurements determine them. A
measurement marked `predict` is evaluated when all is fitted and never before: fitted and predicted figures stand
in tables of their own, on the screen (`screen`) and in the file (`outputs`).
"""
