"""A trained run of the workflow (`make run`), or an export: samples, and the noise of samples."""

import sys

import vct

folder = sys.argv[1] if len(sys.argv) > 1 else "results/digits/variational/seed0"
model = vct.load(folder)
print(f"{folder}: samples of shape {model.shape}, from {' or '.join(model.priors)}")
x = model.sample(1000, steps=2, seed=0, prior=model.priors[-1])
print(f"mean {x.mean():.2f}, deviation {x.std():.2f}, first value {x[0].flatten()[0]:.2f}")
if isinstance(model.coupling, vct.Variational):  # it has learned the noise of each x
    mean, std = model.encode(x)
    aggregate = (mean.var(dim=0) + std.square().mean(dim=0)).mean()
    print(f"variance of the noise that the coupling gives to them: {aggregate:.2f} (N(0, I): 1)")
