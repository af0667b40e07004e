"""A consistency model of a 2-D mixture, trained without a teacher and sampled in one step."""

import torch

import vct

torch.set_num_threads(1)  # the tensors are tiny
shape, steps, size = (2, 1, 1), 2000, 128
kernel, objective = vct.VarianceExploding(t_max=80.0), vct.ICT(t_max=80.0, s1=20, p_mean=0.0)
coupling = vct.Independent()  # or vct.MinibatchOT(), vct.Sinkhorn(entropy=0.1), your own
network = vct.MLP(shape, outputs=2, width=128)
f = vct.ConsistencyFunction(network, kernel, sigma_data=0.5, t_min=objective.train_t_min)
average = vct.ConstantAverage(f.network, decay=0.99)
f_average = vct.ConsistencyFunction(average.module, kernel, 0.5, objective.t_min)
optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
generator = torch.Generator().manual_seed(0)
for step in range(steps):
    x = 0.05 * torch.randn(size, *shape, generator=generator)
    x[:, 1] += torch.randint(2, (size, 1, 1), generator=generator) - 0.5
    levels, draw = objective.levels(step, steps, size, generator), vct.Draw(seed=0, step=step)
    context = vct.PairingContext(levels.t, levels.r, kernel, f_average, draw)
    pair = coupling.pair(x, torch.randn(x.shape, generator=generator), context)
    optimizer.zero_grad()
    objective.loss(f, pair, levels, None, coupling.kl_weight, draw).total.backward()
    optimizer.step()
    average.update(step)
(samples,) = vct.FewStep([80.0])(f_average, coupling, torch.randn(1, 1000, *shape))
print(f"mean |x_2| of one-step samples: {samples[:, 1].abs().mean():.2f} (the data's: 0.50)")
