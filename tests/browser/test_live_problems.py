"""What may be missing or go wrong on the page "Swap a face in your browser", and what the page says about it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Route

from tests.browser.live_page import PAGE, Live, Pixels, distance, picture_file


class TestProblems:
    """What goes wrong, and what the page says about it."""

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("delete window.WebAssembly", "no WebAssembly"),
            ("WebAssembly.validate = () => false", "SIMD"),
            ("delete window.DecompressionStream", "gzip"),
            (
                "CanvasRenderingContext2D.prototype.getImageData = (x, y, w, h) => new ImageData(w, h)",
                "against fingerprinting",
            ),
        ],
    )
    def test_missing_in_the_browser(self, unopened: Live, script: str, words: str) -> None:
        unopened.page.add_init_script(script)
        unopened.open(PAGE)
        notice = unopened.page.locator(".live-missing")
        notice.wait_for()
        assert words in notice.inner_text()
        assert "Firefox, Chrome, Edge or Safari" in notice.inner_text()
        assert not unopened.page.locator(".live-swap-button").is_visible()
        assert unopened.errors == []

    def test_no_scripts(self, browser: Browser, live_address: str) -> None:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{live_address}/{PAGE}")
        assert "This needs JavaScript" in page.locator("#live-swap").inner_text()
        context.close()

    def test_opened_without_its_networks(self, unopened: Live) -> None:
        unopened.page.route("**/manifest.json", lambda route: route.fulfill(status=404))
        unopened.open(PAGE)
        notice = unopened.page.locator(".live-missing")
        notice.wait_for()
        assert "manifest.json" in notice.inner_text()

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (lambda route: route.fulfill(status=404), "missing: person_brown.onnx.gz"),
            (lambda route: route.abort(), "could not be loaded"),
            (lambda route: route.fulfill(body=b"not a network"), "arrived damaged"),
        ],
    )
    def test_network_file(self, live: Live, answer: Callable[[Route], None], words: str) -> None:
        live.page.route("**/person_brown.onnx.gz", answer)
        live.page.locator(".live-swap-button").click()
        live.message(words)
        live.page.unroute("**/person_brown.onnx.gz")
        live.swap()  # the next attempt may succeed

    def test_no_face(self, live: Live) -> None:
        live.give("target", np.full((200, 200, 3), 128, np.uint8))
        live.agree()
        live.page.locator(".live-swap-button").click()
        assert "No face was found in the picture to change" in live.message("No face")

    def test_source_without_a_face(self, live: Live) -> None:
        live.give("source", np.full((200, 200, 3), 128, np.uint8))
        live.agree()
        live.page.locator(".live-swap-button").click()
        assert "picture with the face" in live.message("No face")

    def test_no_picture(self, live: Live) -> None:
        live.choose("target", "own")
        live.page.locator(".live-swap-button").click()
        live.message("Choose the picture file to change first")
        text: FilePayload = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Dear reader"}
        live.page.locator("#live-target input[type=file]").set_input_files(text)
        live.message("letter.txt is not a picture")
        live.page.locator("#live-target input[type=file]").set_input_files(picture_file(np.zeros((8, 8, 3), np.uint8)))
        live.message("only 8 × 8 pixels")

    def test_nobody_was_asked(self, live: Live, pictures: dict[str, Pixels]) -> None:
        live.give("target", pictures["facing"])
        live.page.locator(".live-swap-button").click()
        live.message("has agreed")
        assert live.page.evaluate("document.activeElement.type") == "checkbox"

    def test_huge_picture_is_shrunk(self, live: Live, pictures: dict[str, Pixels]) -> None:
        huge = np.asarray(Image.fromarray(pictures["facing"]).resize((2400, 2400)))
        live.give("target", huge)
        live.agree()
        assert "2400 × 2400 pixels was shrunk to 2048 × 2048" in live.swap()

    def test_webgpu_that_fails(self, unopened: Live) -> None:
        fake = "Object.defineProperty(navigator, 'gpu', {value: {requestAdapter: async () => ({})}})"
        unopened.page.add_init_script(fake)
        unopened.page.route("**/*.asyncify.wasm", lambda route: route.abort())
        unopened.open(PAGE)
        unopened.page.locator(".live-backend select").select_option("webgpu")
        assert "the processor was" in unopened.swap()
        assert unopened.page.locator(".live-backend select").input_value() == "wasm"

    def test_no_webgpu(self, unopened: Live) -> None:
        unopened.page.add_init_script("Object.defineProperty(navigator, 'gpu', {value: undefined})")
        unopened.open(PAGE)
        assert unopened.page.locator(".live-backend option[value=webgpu]").is_disabled()
        assert "this browser has no WebGPU" in unopened.page.locator(".live-backend").inner_text()


class TestCamera:
    """Chromium's stand-in for a camera shows a moving drawing, in which there is no face."""

    def test_one_frame(self, live: Live, context: BrowserContext) -> None:
        context.grant_permissions(["camera"])
        live.choose("target", "camera")
        live.agree()
        live.page.locator(".live-swap-button").click()
        live.message("Start the camera first")
        live.page.locator(".live-camera-button").click()
        live.message("The camera is on")
        live.page.locator(".live-swap-button").click()
        live.message("No face was found")
        live.choose("target", "facing")
        assert live.page.evaluate("document.querySelector('video').srcObject") is None

    def test_frame_after_frame(self, unopened: Live, context: BrowserContext) -> None:
        """A canvas that shows a picture of the page stands in for the camera."""
        unopened.page.add_init_script("""
          navigator.mediaDevices.getUserMedia = async () => {
            const canvas = document.createElement("canvas"), image = document.querySelector("img[src*=picture_facing]");
            [canvas.width, canvas.height] = [384, 384];
            setInterval(() => canvas.getContext("2d").drawImage(image, 0, 0), 30);
            return canvas.captureStream(30);
          };""")
        unopened.open(PAGE)
        unopened.choose("target", "camera")
        unopened.agree()
        unopened.page.locator(".live-continuous").check()
        unopened.page.locator(".live-camera-button").click()
        unopened.message("The camera is on")
        unopened.page.locator(".live-swap-button").click()
        unopened.message("frame after frame")
        unopened.page.locator(".live-rate", has_text="frames a second").wait_for(timeout=60_000)
        unopened.page.locator(".live-swap-button").click()
        unopened.message("Stopped")
        assert distance(unopened.picture("after"), unopened.picture("before")).max() > 60

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("", "The camera was refused"),
            ("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})", "gives pages no camera"),
            (
                "Object.defineProperty(navigator, 'mediaDevices', {value: undefined});"
                "Object.defineProperty(window, 'isSecureContext', {value: false})",
                "https",
            ),
        ],
    )
    def test_refused(self, unopened: Live, script: str, words: str) -> None:
        unopened.page.add_init_script(script)
        unopened.open(PAGE)
        unopened.choose("target", "camera")
        unopened.page.locator(".live-camera-button").click()
        unopened.message(words)
