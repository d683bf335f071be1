"""Reading colours off the screen."""

from playwright.sync_api import Page


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
