"""Section `runtime`."""

from typing import Annotated

from pydantic import Field, model_validator

from vct.lab.settings.base import Count, Section


class RuntimeSettings(Section):
    """Where and how the work is done; nothing here changes what is computed in exact arithmetic.

    `gpus`: so many GPUs a job reserves and uses. `processes`: of a training, a sampling or a
    scoring, which share its work; one for each GPU unless given. `micro_batch`: most samples that a
    device trains on at a time; null takes its share of the batch at once. `prefetch`: so many
    batches are read ahead. `stop_after_nonfinite`: so many steps in a row whose loss or gradient is
    not finite end a training; null bears any number. `system_metrics`: MLflow gets the load of the
    machine too while a training is tracked.
    """

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    processes: Annotated[int, Field(ge=1, le=64)] | None = None
    micro_batch: Count | None = None
    prefetch: Annotated[int, Field(ge=0, le=64)] = 2
    checkpoint_every: Count = 500
    stop_after_nonfinite: Count | None = 20
    tracking: bool = True
    system_metrics: bool = False

    @property
    def size(self) -> int:
        """Processes that share the work of a job."""
        return self.processes or max(1, self.gpus)

    @property
    def cores(self) -> int:
        """CPU cores of a job."""
        return self.threads * self.size

    @model_validator(mode="after")
    def _one_each(self) -> "RuntimeSettings":
        if self.device != "cpu" and 0 < self.gpus < self.size:
            raise ValueError(
                f"processes ({self.size}) must not be more than gpus ({self.gpus}): each takes one"
            )
        if ":" in self.device and self.size > 1:
            raise ValueError(
                f"device ({self.device}) names one GPU for several processes; use auto"
            )
        return self
