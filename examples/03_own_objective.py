"""An objective of one's own: pairs of levels at a fixed ratio, compared by the L1 distance.

In the workflow: `objective: {kind: ratio.Ratio, options: {ratio: 0.7}}`; it is given t_max,
sigma_data and clip where its signature takes them.
"""

import torch

import vct


class Ratio(vct.Objective):
    """Compares f at t and at r = ratio t, with ln t normal; the distance is that of L1.

    Args:
        t_max: T.
        ratio: r / t, in (0, 1).
    """

    t_min = 0.002

    def __init__(self, t_max, ratio=0.8):
        self.t_max, self.ratio = t_max, ratio

    def levels(self, step, total, batch, generator):
        normal = torch.randn(batch, generator=generator, device=generator.device)
        t = torch.exp(2.0 * normal - 1.1).clamp(2 * self.t_min, self.t_max)
        r = (self.ratio * t).clamp(min=self.t_min)
        return vct.Levels(t, r, 1 / (t - r), 1 / ((1 - self.ratio) * self.t_max), 0)

    def distance(self, student, teacher):
        return (student - teacher).abs().flatten(1).sum(dim=1)


if __name__ == "__main__":
    shape, kernel, objective = (2, 1, 1), vct.VarianceExploding(), Ratio(80.0)
    network = vct.MLP(shape, outputs=2, width=32)
    f = vct.ConsistencyFunction(network, kernel, 0.5, objective.train_t_min)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(200):
        x = torch.randn(64, *shape, generator=generator) / 2
        z = vct.MinibatchOT().couple(x, torch.randn(x.shape, generator=generator))
        pair = vct.Pair(x, z, x.new_zeros(len(x)))
        levels = objective.levels(step, 200, len(x), generator)
        loss = objective.loss(f, pair, levels, None, 0.0, vct.Draw(0, step))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1}: distance {loss.consistency:.3f}")
