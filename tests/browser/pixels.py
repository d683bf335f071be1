"""Reading colours off the screen."""

import io

from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Page


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of two pictures (PNG) of one size, 0 to 255 a colour."""
    first, second = (Image.open(io.BytesIO(png)).convert("RGB") for png in (one, other))
    return max(ImageStat.Stat(ImageChops.difference(first, second)).mean)


def color_at(page: Page, x: float, y: float) -> list[int]:
    """Red, green and blue (0 to 255) of the pixel that the page shows there."""
    shot = page.screenshot(clip={"x": x - 1, "y": y - 1, "width": 3, "height": 3})
    return page.evaluate(
        """async bytes => {
          const blob = new Blob([new Uint8Array(bytes)], { type: "image/png" });
          const canvas = new OffscreenCanvas(3, 3);
          canvas.getContext("2d").drawImage(await createImageBitmap(blob), 0, 0);
          return [...canvas.getContext("2d").getImageData(1, 1, 1, 1).data.slice(0, 3)];
        }""",
        list(shot),
    )
