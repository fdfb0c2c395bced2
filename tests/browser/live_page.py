"""The page "Swap a face in your browser", opened, with what a reader does on it."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import FilePayload

from tests.browser.visit import Visit

Pixels = npt.NDArray[np.uint8]

PAGE = "book/live_swap.html"
LABEL_HEIGHT = 30  # rows at the bottom of the page's own pictures that the label may cover
READ_CANVAS = """selector => {
  const canvas = document.querySelector(selector);
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
  return [canvas.width, canvas.height, btoa(text)];
}"""


class Live(Visit):
    """The page, opened, with what a reader does on it."""

    def choose(self, what: str, name: str) -> None:
        """Choose a card: `what` is source or target."""
        self.page.locator(f"#live-{what} input[value={name}]").check()

    def give(self, what: str, picture: Pixels | FilePayload) -> None:
        """Choose a file of one's own."""
        payload = picture if isinstance(picture, dict) else picture_file(picture)
        self.choose(what, "own")
        self.page.locator(f"#live-{what} input[type=file]").set_input_files(payload)
        self.page.locator(f"#live-{what} .live-own canvas").wait_for(timeout=10_000)

    def agree(self) -> None:
        """Say that everybody has agreed."""
        self.page.locator(".live-consent input").check()

    def swap(self) -> str:
        """Press the button; the message at the end."""
        self.page.locator(".live-swap-button").click()
        return self.message("Swapped in")

    def message(self, expected: str) -> str:
        """Wait for a message that holds `expected`; the whole message."""
        status = self.page.locator("[role=status]", has_text=expected)
        status.wait_for(timeout=60_000)
        return status.inner_text()

    def picture(self, which: str) -> Pixels:
        """Pixels (H, W, 3) of the stage: before or after."""
        width, height, text = self.page.evaluate(READ_CANVAS, f".live-{which}")
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]


def picture_file(picture: Pixels, name: str = "picture.png") -> FilePayload:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def distance(one: Pixels, other: Pixels, label: int = LABEL_HEIGHT) -> npt.NDArray[np.int16]:
    """Grey levels between two pictures, above the label."""
    return np.abs(one.astype(np.int16) - other)[:-label]
