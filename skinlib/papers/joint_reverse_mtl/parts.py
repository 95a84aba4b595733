"""How the sentences of the multi-task paper became layers: what each variant adds, beside the published counts."""

from __future__ import annotations

import pandas as pd
import torch

from skinlib import models
from skinlib.exhibits.published import published
from skinlib.papers.joint_reverse_mtl.plan import PROPOSED

LADDER = ("seg", "mtl0", "mtl1", "mtl2", "mtl3", "mtl4")
# (variant, part): where the sentence stands, and how it is read.
READINGS = {
    ("cls", "backbone"): ("4.1", "ResNet-50 as in timm, without its classifier"),
    ("cls", "head"): ("4.1", "no head is described; 2048-128-64-2 (ours), for a linear head would give 23.51 M"),
    ("seg", "encoder"): (
        "3.4.1",
        "six levels of 32, 64, 128, 256, 320, 320; two 3x3 convolutions with bias and batch norm each; 'strides of 2x2 "
        "and 1x1', the very first convolution excepted: the mask has the image's size",
    ),
    ("seg", "decoder"): (
        "3.4.1",
        "'transpose convolution' is 2x2 of stride 2 with bias; skips are concatenated; then two 3x3 convolutions",
    ),
    ("seg", "to_mask"): ("3.4.1", "the 1x1 convolution of the softmax stands at the end of the decoder"),
    ("mtl0", "fc"): (
        "4.2",
        "'features at the last encoder layer were passed to the FC layers': pooled, then 320-128-64-2; 128 and 64 are "
        "the widths that eq. 2 needs in the last two decoder levels",
    ),
    ("mtl1", "fc"): ("4.2", "'merging representations from the last two blocks in the decoder': 32 + 32 inputs more"),
    ("mtl1", "lesion"): (
        "3.4.2",
        "'multiplication of the segmented regions with feature representations': decoder maps times the lesion "
        "probability, a 3x3 convolution to 32 channels each (width solved for), mean under the same probability",
    ),
    ("mtl2", "fc"): ("4.2", "'the last two encoder layers were fused with the classification sub-module': 320 more"),
    ("mtl2", "gates"): (
        "3.4.2, eq. 2",
        "FC_cls is the sigmoid of a linear map, 128-128 and 64-64, of the fully connected activations; the second pass "
        "shares all weights, for a copy would add 0.18 M",
    ),
    ("mtl3", "cbam"): ("3.4.3", "two modules at 320 channels; reduction 10 (solved for), 16 would give 26,480"),
    ("mtl4", "none"): ("4.2", "the same network, more melanomas to train on"),
}


def counts(variant: str) -> dict[str, int]:
    """Return part -> trainable parameters of a variant at the published widths, empty parts left out."""
    with torch.device("meta"):  # shapes without numbers
        model = models.build(PROPOSED.replace(variant=variant, backbone="resnet50", options={}))
    learnt = {name: [p.numel() for p in part.parameters() if p.requires_grad] for name, part in model.named_children()}
    return {name: sum(sizes) for name, sizes in learnt.items() if sizes}


def parts() -> pd.DataFrame:
    """Return the table of parts: what each variant adds to the one before.

    Returns
    -------
    DataFrame
        variant, part, section, reading, parameters (added by this part), total (of the variant so far, ending with
        its whole), published (of the whole variant, repeated; trainable parameters to 10,000).
    """
    printed = published("joint_reverse_mtl", "table3").set_index(["row", "metric"])["published"]
    rows, before = [], {}
    for variant in ("cls", *LADDER):
        total, now = sum(before.values()), counts(variant)
        for part in [name for name in now if now[name] != before.get(name, 0)] or ["none"]:
            count = now.get(part, 0) - before.get(part, 0)
            total += count
            rows.append([variant, part, *READINGS[variant, part], count, total])
        before = now if variant in LADDER else {}  # cls stands alone
    table = pd.DataFrame(rows, columns=["variant", "part", "section", "reading", "parameters", "total"])
    return table.assign(published=[printed[variant, "parameters"] for variant in table["variant"]])
