"""Photographs of the reader's own: what is read, and what is refused in words."""

import io

import numpy as np
import pytest
from PIL import Image

from ribnb.data.photos import SAMPLES, read_photo, sample_photo

RED_LEFT = np.zeros((60, 100, 3), np.uint8)
RED_LEFT[:, :50, 0] = 255


def saved(tmp_path, image, name="photo.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_samples_are_photographs_of_the_size_asked_for():
    for name in SAMPLES:
        image = sample_photo(name, 160)
        assert image.mode == "RGB" and max(image.size) == 160
        assert np.asarray(image).std() > 30


def test_a_photo_is_made_smaller_and_never_larger(tmp_path):
    path = saved(tmp_path, Image.fromarray(RED_LEFT))
    assert read_photo(path).size == (100, 60)
    assert (np.asarray(read_photo(path)) == RED_LEFT).all()
    assert read_photo(path, 64).size == (64, 38)
    assert read_photo(f"{path}").getpixel((10, 10)) == (255, 0, 0)


def test_a_huge_photo_is_read_without_a_warning(tmp_path):
    wide = saved(tmp_path, Image.new("RGB", (10_000, 9_500), "red"), "wide.jpg", quality=20)
    image = read_photo(wide)
    assert image.size == (320, 304) and image.getpixel((100, 100))[0] > 240


def test_the_cameras_rotation_is_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    path = saved(tmp_path, Image.fromarray(RED_LEFT), exif=exif)
    turned = np.asarray(read_photo(path))
    assert turned.shape == (100, 60, 3)
    assert (turned[:50, :, 0] == 255).all() and (turned[50:] == 0).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_any_mode_becomes_rgb_with_its_brightness(tmp_path, mode):
    half = np.full((40, 80), 0 if mode == "1" else 64, np.uint8)
    half[:, :40] = 255
    image = Image.fromarray(half).convert("RGB").convert(mode, palette=Image.Palette.ADAPTIVE)
    path = saved(tmp_path, image, "photo.tif")
    pixels = np.asarray(read_photo(path))
    assert pixels.shape == (40, 80, 3)
    assert (abs(pixels[:, :40].astype(int) - 255) < 5).all()
    assert (abs(pixels[:, 40:].astype(int) - int(half[0, 40])) < 5).all()


def test_what_is_no_photo_is_refused_in_words(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    content = io.BytesIO()
    Image.fromarray(RED_LEFT).resize((400, 300)).save(content, "png")
    (tmp_path / "cut.png").write_bytes(content.getvalue()[:300])
    tiny = saved(tmp_path, Image.new("RGB", (1, 1)), "tiny.png")
    narrow = saved(tmp_path, Image.new("RGB", (4000, 90)), "narrow.png")
    for name, message in (
        ("text.jpg", "text.jpg is no picture that can be read"),
        ("cut.png", "cut.png cannot be read as a picture"),
        (tiny.name, "tiny.png is 1 x 1 pixels; .* at least 32"),
        (narrow.name, "narrow.png is 4000 x 90 pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            read_photo(tmp_path / name)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileNotFoundError, match="give the path of a picture"):
            read_photo(missing)
