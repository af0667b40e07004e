"""A coupling that pairs pools of batches, in a loop of one's own.

Transport over more pairs is shorter, and one plan serves several steps: data and noise of
`coupling.pool` batches are paired together, and each step takes its part. With `uses` the noise of
a pool is given to several images of it, in different batches. The workflow does all this itself.
"""

import torch

import vct

torch.set_num_threads(1)  # the tensors are tiny
shape, steps, size = (2, 1, 1), 2000, 128
kernel, objective = vct.VarianceExploding(t_max=80.0), vct.ICT(t_max=80.0, s1=20, p_mean=0.0)
coupling = vct.ModelOT(t_max=80.0, pool=8, uses=4)  # or vct.MinibatchOT(pool=8), ...
network = vct.MLP(shape, outputs=2, width=128)
f = vct.ConsistencyFunction(network, kernel, sigma_data=0.5, t_min=objective.train_t_min)
average = vct.ConstantAverage(f.network, decay=0.99)
f_average = vct.ConsistencyFunction(average.module, kernel, 0.5, objective.t_min)
optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
generator = torch.Generator().manual_seed(0)


def mixture(count):
    x = 0.05 * torch.randn(count, *shape, generator=generator)
    x[:, 1] += torch.randint(2, (count, 1, 1), generator=generator) - 0.5
    return x


for step in range(steps):
    draw, place = vct.Draw(seed=0, step=step), step % coupling.pool
    if place == 0:  # the averaged model of now pairs the batches of the next steps
        x = mixture(coupling.pool * size)
        levels = objective.levels(step, steps, len(x), generator)
        context = vct.PairingContext(levels.t, levels.r, kernel, f_average, draw)
        pool = coupling.pair(x, torch.randn(x.shape, generator=generator), context)
    pair = pool.part(slice(place * size, (place + 1) * size))
    levels = objective.levels(step, steps, size, generator)
    optimizer.zero_grad()
    objective.loss(f, pair, levels, None, coupling.kl_weight, draw).total.backward()
    optimizer.step()
    average.update(step)
(samples,) = vct.FewStep([80.0])(f_average, coupling, torch.randn(1, 1000, *shape))
print(f"{len(pool.z)} images of a pool share {len(pool.z.unique(dim=0))} noises")
print(f"mean |x_2| of one-step samples: {samples[:, 1].abs().mean():.2f} (the data's: 0.50)")
