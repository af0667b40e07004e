"""Networks F(x, c_noise, labels). One architecture, one file."""

from vct.lazy import exports

__getattr__ = exports(
    globals(),
    {
        "vct.networks.mlp": "MLP",
        "vct.networks.unet": "DDPMpp NCSNpp",
        "vct.networks.adm": "ADM",
        "vct.networks.edm2": "EDM2",
    },
)
