"""Objectives: the consistency loss and its noise levels. One method, one file."""

from vct.lazy import exports

__getattr__ = exports(
    globals(),
    {
        "vct.objectives.base": "Levels LossRecord Objective",
        "vct.objectives.ict": "ICT",
        "vct.objectives.ecm": "ECM",
        "vct.objectives.edm": "EDM",
        "vct.objectives.sct": "SCT",
        "vct.objectives.flow": "Flow",
        "vct.objectives.consistency_flow": "ConsistencyFlow",
        "vct.objectives.mean_flow": "MeanFlow",
    },
)
