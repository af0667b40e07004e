"""Versions of what the stages compute.

Raise one when a change of code changes a stage's results: both engines then run that stage again.
Cosmetic edits leave them alone, and nothing retrains.
"""

DATA = 2
PREPARATION = 1  # kept runs do not know it: raise TRAINING too where other runs come out
TRAINING = 2
TRAINING_WITH_DROPOUT = 3  # of networks that drop; raise it along with TRAINING
SAMPLING = 3
SCORING = 2
DIAGNOSTICS = 2
REPORTING = 5
