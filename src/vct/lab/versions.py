"""Versions of what the stages compute.

Raise one when a change of code changes a stage's results: both engines then run that stage again.
Cosmetic edits leave them alone, and nothing retrains.
"""

DATA = 1
TRAINING = 1
SAMPLING = 2
SCORING = 2
REPORTING = 2
