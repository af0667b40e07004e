"""The class that the Hugging Face Hub's own calls know: `from_pretrained`, `push_to_hub`."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download

from vct.lab.errors import UserError
from vct.lab.records import ExportRecord, ModelRecord, read
from vct.lab.reuse.description import CONFIG, Description
from vct.lab.reuse.model import LoadedModel


class HubModel(
    LoadedModel,
    PyTorchModelHubMixin,
    library_name="vct",
    tags=["consistency-models", "noise-coupling"],
):
    """A `LoadedModel` from the Hub, or from the folder of an export.

    >>> model = HubModel.from_pretrained("OWNER/NAME")  # or a folder: then offline
    >>> model.push_to_hub("OWNER/NAME")
    """

    @classmethod
    def _from_pretrained(  # type: ignore[override]
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        map_location: str = "cpu",
        **unused: Any,
    ) -> "HubModel":
        if not Path(model_id).is_dir():
            model_id = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        return cls(Description.of(model_id)).to(map_location)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write the files of an export into a folder, which may hold others.

        Raises:
            UserError: if it is the folder of a run, whose record would be lost; if the weights were
                changed since the model was loaded.
        """
        config = Path(save_directory) / CONFIG
        if config.exists() and not isinstance(read(ModelRecord, config).root, ExportRecord):
            raise UserError(f"{save_directory} is the folder of a run; name another one.")
        return super().save_pretrained(save_directory, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write what `vct export` writes."""
        from vct.lab.reuse import export  # draws a picture, for which reading needs no library

        known, held = self.description.tensors(self), self.state_dict()
        if not all(torch.equal(held[name].cpu(), tensor) for name, tensor in known.items()):
            raise UserError(
                "the weights of this model are not those that it was loaded with, and its scores "
                "are of those alone; keep others by torch.save(model.state_dict(), FILE)."
            )
        export.fill(self, Path(save_directory))
