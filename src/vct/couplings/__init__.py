"""Couplings: how a data point gets the noise that it is trained with. One method, one file."""

from vct.lazy import exports

__getattr__ = exports(
    globals(),
    {
        "vct.couplings.base": "Coupling Pair PairingContext",
        "vct.couplings.independent": "Independent",
        "vct.couplings.minibatch_ot": "MinibatchOT",
        "vct.couplings.sinkhorn": "Sinkhorn",
        "vct.couplings.semidiscrete": "Semidiscrete",
        "vct.couplings.conditional_ot": "ConditionalOT",
        "vct.couplings.nearest_noise": "NearestNoise",
        "vct.couplings.weighted": "Weighted",
        "vct.couplings.loom": "Loom",
        "vct.couplings.reflow": "Reflow",
        "vct.couplings.conditional": "Conditional",
        "vct.couplings.model_ot": "ModelOT",
        "vct.couplings.variational": "Variational",
        "vct.couplings.generator_augmented": "GeneratorAugmented",
    },
)
