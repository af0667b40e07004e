"""A misspelt word chooses no other method: where types are not checked, classes are told."""

import pytest
import torch
from support import tiny_network

from vct.couplings.generator_augmented import GeneratorAugmented
from vct.couplings.independent import Independent
from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.nearest_noise import NearestNoise
from vct.couplings.sinkhorn import Sinkhorn
from vct.couplings.variational import Variational
from vct.misfit import Misfit, one_of
from vct.objectives.ecm import ECM
from vct.objectives.flow import Flow
from vct.objectives.ict import ICT
from vct.objectives.mean_flow import MeanFlow
from vct.schedules import learning_rate_factor

WORDS = {
    "distance": lambda word: ICT(80.0, distance=word),
    "weight": lambda word: ECM(80.0, weight=word),
    "prior": lambda word: Variational(tiny_network(), 1.0, prior=word),
    "times": lambda word: Flow(1.0, times=word),
    "times of MeanFlow": lambda word: MeanFlow(1.0, times=word),
    "noise": lambda word: GeneratorAugmented(Independent(), noise=word),
    "over": lambda word: MinibatchOT(over=word),
    "over of Sinkhorn": lambda word: Sinkhorn(over=word),
    "schedule": lambda word: learning_rate_factor(9, 10, word),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_word_that_is_none_is_refused(name):
    with pytest.raises(Misfit, match=f"{name.split()[0]} is 'Uniform', not one of "):
        WORDS[name]("Uniform")


def test_the_sentence_names_what_there_is():
    one_of("x", "b", ["a", "b"])
    with pytest.raises(Misfit, match=r"^x is 'c', not one of a, b$"):
        one_of("x", "c", ["a", "b"])


@pytest.mark.parametrize("coupling", [Sinkhorn(), NearestNoise()])
def test_noise_of_bfloat16_is_paired(coupling):
    x, eps = torch.randn(2, 8, 1, 2, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    z = coupling.couple(x, eps)
    assert z.dtype == eps.dtype and z.isfinite().all()
