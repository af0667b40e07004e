"""Consistency training with noise couplings.

The method is here, with torch, numpy and scipy alone: kernels, couplings, objectives, networks,
averages, samplers. What runs, records and reports it is `vct.lab`; of it `load` alone, for trained
models, has a name here.
"""

from vct.lazy import exports

__version__ = "0.1.0"

__getattr__ = exports(
    globals(),
    {
        "vct.kernels": "Kernel LinearInterpolation VarianceExploding",
        "vct.preconditioning": "ConsistencyFunction",
        "vct.rng": "Draw",
        "vct.priors": "GaussianPrior",
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
        "vct.objectives.base": "Levels LossRecord Objective",
        "vct.objectives.ict": "ICT",
        "vct.objectives.ecm": "ECM",
        "vct.objectives.edm": "EDM",
        "vct.objectives.sct": "SCT",
        "vct.objectives.flow": "Flow",
        "vct.objectives.consistency_flow": "ConsistencyFlow",
        "vct.objectives.mean_flow": "MeanFlow",
        "vct.networks.mlp": "MLP",
        "vct.networks.unet": "DDPMpp NCSNpp",
        "vct.networks.adm": "ADM",
        "vct.networks.edm2": "EDM2",
        "vct.averages.ema": "Average ConstantAverage PowerAverage",
        "vct.averages.post_hoc": "TrackedAverages",
        "vct.samplers.base": "Sampler",
        "vct.samplers.few_step": "FewStep",
        "vct.samplers.heun": "Heun",
        "vct.samplers.euler": "Euler",
        "vct.lab.reuse": "load",
    },
)
