"""Pictures of pictures: contact sheets, and heat maps on one shared colour scale."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skinlib.explain.gradcam import KEPT, sharpen
from skinlib.figures.style import HEAT, WIDTH, new, style

OUTLINE = "#56B4E9"


def image_grid(
    images: Sequence[np.ndarray], titles: Sequence[str] = (), *, columns: int = 6, title: str = ""
) -> Figure:
    """Draw a contact sheet of images (H, W, 3), uint8 or float in [0, 1], with a title each or none."""
    if not len(images):
        raise ValueError("a contact sheet needs at least one image")
    if len(titles) not in (0, len(images)):
        raise ValueError(f"{len(images)} images have {len(titles)} titles; give one each, or none")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    tall = np.asarray(images[0]).shape[0] / np.asarray(images[0]).shape[1]
    with style():
        side = WIDTH / max(columns, 3)
        figure, axes = new(rows, columns, height=0.3 + rows * (side * tall + 0.25), width=side * columns)
        for axis in axes:
            axis.axis("off")
        for axis, image in zip(axes, images, strict=False):
            axis.imshow(image)
        for axis, text in zip(axes, titles, strict=False):
            axis.set_title(text, fontsize=7)
        figure.suptitle(title, fontsize=10)
    return figure


def outlined_images(
    pictures: Sequence[Mapping], styles: Mapping[str, Mapping], *, columns: int = 3, title: str = ""
) -> Figure:
    """Draw images with several outlines.

    A picture has ``image`` (H, W, 3) uint8, ``title``, and ``lines``: a key of ``styles`` -> (h, w) bool of any size.
    A style has ``colors`` and ``linestyles`` of a contour.
    """
    tall = np.shape(pictures[0]["image"])[0] / np.shape(pictures[0]["image"])[1]
    lines = -(-len(pictures) // columns)
    with style():
        words = 1 + max(one["title"].count("\n") for one in pictures)  # lines of a title
        figure, axes = new(lines, columns, height=0.7 + lines * (WIDTH / columns * tall + 0.08 + 0.12 * words))
        for axis in axes:
            axis.axis("off")
        for axis, one in zip(axes, pictures, strict=False):
            height, width = np.shape(one["image"])[:2]
            axis.imshow(one["image"])
            for name, mask in one["lines"].items():
                if 0 < np.mean(mask) < 1:
                    rows, cols = np.shape(mask)
                    x = (np.arange(cols) + 0.5) * width / cols - 0.5
                    y = (np.arange(rows) + 0.5) * height / rows - 0.5
                    axis.contour(x, y, np.asarray(mask, float), levels=[0.5], linewidths=1.4, **styles[name])
            axis.set_title(one["title"], fontsize=7)
        used = [name for name in styles if any(name in one["lines"] for one in pictures)]
        handles = [Line2D([], [], color=styles[n]["colors"], linestyle=styles[n]["linestyles"]) for n in used]
        legend = figure.legend(handles, used, loc="outside lower center", ncols=len(used), frameon=True)
        legend.get_frame().set_facecolor("0.55")  # the truth is drawn white
        figure.suptitle(title, fontsize=10)
    return figure


def cam_gallery(
    cases: Sequence[Mapping], *, title: str = "", name: str = "Grad-CAM++", kept: str = "sharpened", keep: float = KEPT
) -> Figure:
    """Draw heat maps: original with the outline of the mask, raw map, sharpened overlay, side by side for each case.

    More than four cases are drawn in two blocks, the first half on the left. The raw maps share one colour scale with a
    bar, from 0 to the largest value of all, so that a weak map looks weak.

    Parameters
    ----------
    cases : each with title, image (H, W, 3) uint8 or float in [0, 1], cam (H, W) >= 0, not normalised, and where there
        is one, mask (H, W) of 0 and 1. ValueError without a case, or where a map is negative.
    name, kept : what the maps are called, and their part in the overlay: the share ``keep`` of the pixels, as
        `skinlib.explain.gradcam.sharpen` keeps them.
    """
    if not cases:
        raise ValueError("a gallery needs at least one case")
    if min(float(np.min(case["cam"])) for case in cases) < 0:
        raise ValueError("a heat map has negative values; hand over maps after the ReLU, not normalised")
    top = max(float(np.max(case["cam"])) for case in cases) or 1.0
    tall = max(np.shape(case["cam"])[0] / np.shape(case["cam"])[1] for case in cases)
    blocks = 2 if len(cases) > 4 else 1
    lines = -(-len(cases) // blocks)
    side = WIDTH / (3 * blocks + 0.5)  # inches
    with style():
        figure, axes = new(lines, 3 * blocks, height=1.3 + (side * tall + 0.1) * lines, width=WIDTH)
        grid = np.reshape(axes, (lines, 3 * blocks))
        for axis in axes:
            axis.axis("off")
        for number, case in enumerate(cases):
            block, line = divmod(number, lines)
            three = grid[line, 3 * block : 3 * block + 3]
            heat = _case(three, case, top, keep)
            three[0].set_ylabel(case["title"], fontsize=7)
        for axis, heading in zip(grid[0], ("original, outline", name, kept) * blocks, strict=True):
            axis.set_title(heading, fontsize=8)
        bar = figure.colorbar(heat, ax=axes, location="bottom", shrink=0.6, aspect=40)
        bar.set_label(f"{name} (one scale for all)")
        figure.suptitle(title, fontsize=10)
    return figure


def _case(axes: Sequence, case: Mapping, top: float, keep: float):
    image, cam = np.asarray(case["image"]), np.asarray(case["cam"])
    image = image / 255 if image.dtype == np.uint8 else image
    level = sharpen(torch.from_numpy(cam), keep).numpy().astype(float)[..., None] / top
    overlay = np.where(level > 0, 0.45 * image + 0.55 * colormaps[HEAT](level[..., 0])[..., :3], image)
    axes[0].imshow(image)
    heat = axes[1].imshow(cam, vmin=0, vmax=top, cmap=HEAT)
    axes[2].imshow(overlay)
    mask = case.get("mask")
    for axis in axes:
        axis.axis("on")
        if mask is not None and 0 < np.mean(mask) < 1:
            axis.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.8)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
    return heat
