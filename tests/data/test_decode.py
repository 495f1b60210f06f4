"""The pixels of a window are Pillow's, whatever kind of file they come from."""

import io

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from softaug_jax.data import decode, resize
from softaug_jax.data.decode import UnreadableImage, cut, evaluation_box, read_header
from tests.data.made_images import encode, pixels

SIZE = 32
WHOLE = (0.0, 0.0, 1.0, 1.0)
ONE_LEVEL = 1  # Pillow rounds after each of its two passes


def pillow(picture, box, size):
    """What Pillow makes of a box (in fractions) inside the image."""
    width, height = picture.size
    edges = (box[1] * width, box[0] * height, box[3] * width, box[2] * height)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=edges)).astype(int)


@pytest.fixture(params=["compiled", "Pillow"], autouse=True)
def way(request, monkeypatch):
    """Both ways to resize."""
    if request.param == "Pillow":
        monkeypatch.setattr(resize, "compiled", lambda: None)
    elif resize.compiled() is None:
        pytest.skip("there is no compiler")


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def random_box(rng):
    (y0, y1), (x0, x1) = np.sort(rng.uniform(0, 1, (2, 2)), axis=1)
    return (y0, x0, max(y1, y0 + 0.05), max(x1, x0 + 0.05)) if max(y0, x0) < 0.95 else WHOLE


@pytest.mark.parametrize("kind", ["RGB", "L", "progressive", "CMYK", "PNG"])
@pytest.mark.parametrize("shape", [(90, 131), (131, 90), (33, 47)])
def test_a_window_is_what_pillow_cuts_out(kind, shape, rng):
    data = encode(pixels(rng, *shape), kind)
    for box in [WHOLE, *(random_box(rng) for _ in range(12))]:
        ours = cut(read_header(data), box, SIZE)
        assert ours.shape == (SIZE, SIZE, 3) and ours.dtype == np.uint8
        assert np.abs(ours - pillow(opened(data), box, SIZE)).max() <= ONE_LEVEL, box


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_other_ways_to_store_the_colours(quality, subsampling, rng):
    file = io.BytesIO()
    Image.fromarray(pixels(rng, 100, 77)).save(file, "JPEG", quality=quality, subsampling=subsampling)
    box = (0.21, 0.13, 0.77, 0.9)
    ours = cut(read_header(file.getvalue()), box, SIZE)
    assert np.abs(ours - pillow(opened(file.getvalue()), box, SIZE)).max() <= ONE_LEVEL


def test_only_the_window_is_decoded(monkeypatch, rng):
    tf = decode.tensorflow()
    seen = []
    real = tf.io.decode_and_crop_jpeg

    def watched(data, window, **options):
        seen.append((*window, options["ratio"]))
        return real(data, window, **options)

    monkeypatch.setattr(tf.io, "decode_and_crop_jpeg", watched)
    cut(read_header(encode(pixels(rng, 200, 300))), (0.5, 0.25, 0.75, 0.5), SIZE)
    ((top, left, height, width, ratio),) = seen
    assert ratio == 1
    assert 100 - 4 <= top < 100 and 75 - 4.4 <= left < 75
    assert 50 <= height <= 50 + 8 and 75 <= width <= 75 + 10


@pytest.mark.parametrize(("edges", "ratio"), [((260, 300), 4), ((600, 520), 8), ((140, 260), 2)])
def test_large_images_are_shrunk_as_they_are_decoded(edges, ratio, monkeypatch, rng):
    tf = decode.tensorflow()
    seen = []
    real = tf.io.decode_and_crop_jpeg
    monkeypatch.setattr(tf.io, "decode_and_crop_jpeg", lambda *a, **o: (seen.append(o["ratio"]), real(*a, **o))[1])
    data = encode(pixels(rng, *edges))
    ours = cut(read_header(data), WHOLE, SIZE)
    assert seen == [ratio]
    difference = np.abs(ours - pillow(opened(data), WHOLE, SIZE))
    assert difference.mean() < 1.5 and difference.max() <= 10


@hypothesis.given(
    st.tuples(*[st.floats(-1.5, 1.5)] * 2), st.tuples(*[st.floats(0.02, 3)] * 2), st.tuples(*[st.integers(1, 60)] * 2)
)
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_what_lies_outside_is_zero_and_what_lies_inside_is_not(corner, sides, shape):
    data = encode(np.full((*shape, 3), 200, np.uint8), "PNG")
    box = (*corner, corner[0] + sides[0], corner[1] + sides[1])
    ours = cut(read_header(data), box, SIZE)
    places = (np.arange(SIZE) + 0.5) / SIZE
    hair = 2 * decode.TIE_PX / SIZE
    sure, maybe = [], []
    for start, side in zip(corner, sides, strict=True):
        center = start + places * side
        sure.append((center >= 0) & (center <= 1))
        maybe.append((center >= -hair * side) & (center <= 1 + hair * side))
    shown = (ours == 200).all(-1)
    assert set(np.unique(ours)) <= {0, 200}
    assert (shown >= np.outer(*sure)).all() and (shown <= np.outer(*maybe)).all()


def test_a_box_beyond_the_edge_shows_its_part_in_its_place(rng):
    image = pixels(rng, 64, 64)
    # Twice the image's edges, in the corner: one output pixel for four of the image, whole pixels on both sides.
    ours = cut(read_header(encode(image, "PNG")), (-1.0, 0.0, 1.0, 2.0), SIZE)
    part = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(ours[16:, :16] - part).max() <= ONE_LEVEL
    assert not ours[:16].any() and not ours[:, 16:].any()


def test_an_edge_within_an_output_pixel_moves_the_image_by_less_than_half_of_one():
    # A ramp, whose value says where along the axis a pixel was taken.
    ramp = np.repeat(np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], 8, 0), 3, 2)
    data = encode(ramp, "PNG")
    for start in np.linspace(-0.6, -0.02, 30):
        ours = cut(read_header(data), (0.0, start, 1.0, start + 1.0), SIZE)[SIZE // 2, :, 0].astype(float)
        places = (start + (np.arange(SIZE) + 0.5) / SIZE) * 256
        inside = (places > 8) & (places < 248)  # where the filter does not meet the edge
        assert inside.any()
        assert np.abs(ours[inside] + 0.5 - places[inside]).max() < 0.5 * 256 / SIZE + 1


def saved(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def test_sixteen_bits_palettes_and_transparency(rng):
    image = pixels(rng, 50, 40)
    grey16 = (image[..., 0].astype(np.uint16) << 8) + 77
    wide = cut(read_header(saved(Image.fromarray(grey16), "PNG")), WHOLE, SIZE)
    by_eight = Image.fromarray(np.repeat(image[..., :1], 3, -1))
    assert np.abs(wide - pillow(by_eight, WHOLE, SIZE)).max() <= ONE_LEVEL
    palette = Image.fromarray(image).quantize(16)
    data = saved(palette, "PNG", transparency=bytes([0, 128] + [255] * 14))
    assert np.abs(cut(read_header(data), WHOLE, SIZE) - pillow(palette.convert("RGB"), WHOLE, SIZE)).max() <= ONE_LEVEL
    alpha = np.concatenate([image, rng.integers(0, 256, (50, 40, 1), dtype=np.uint8)], -1)
    ours = cut(read_header(saved(Image.fromarray(alpha), "PNG")), WHOLE, SIZE)
    assert np.abs(ours - pillow(Image.fromarray(image), WHOLE, SIZE)).max() <= ONE_LEVEL


def test_cmyk_is_not_inverted():
    for colour in [(255, 0, 0), (0, 200, 60), (250, 250, 250), (8, 8, 8)]:
        data = encode(np.full((40, 40, 3), colour, np.uint8), "CMYK", quality=95)
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert np.abs(cut(read_header(data), WHOLE, SIZE).mean((0, 1)) - colour).max() < 6


def test_a_rotation_in_the_exif_data_is_ignored(rng):
    picture = Image.fromarray(pixels(rng, 60, 90))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned, plain = (read_header(saved(picture, "JPEG", **options)) for options in ({"exif": exif}, {}))
    assert (turned.height, turned.width) == (60, 90)
    np.testing.assert_array_equal(cut(turned, WHOLE, SIZE), cut(plain, WHOLE, SIZE))


@pytest.mark.parametrize("kind", ["RGB", "L", "progressive", "CMYK", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
@pytest.mark.parametrize("box", [WHOLE, (0.0, 0.0, 0.1, 0.1), (3.0, 3.0, 4.0, 4.0)])
def test_a_cut_off_file_is_unreadable_whatever_the_box(kind, share, box, rng, capfd):
    data = encode(pixels(rng, 120, 120), kind)
    with pytest.raises(UnreadableImage):
        cut(read_header(data[: int(share * len(data))]), box, SIZE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("data", [b"", b"GIF", b"<html>not found</html>", b"\xff\xd8\xff\xd9", bytes(5000)])
def test_other_bytes_are_unreadable(data):
    with pytest.raises(UnreadableImage, match=r"\w"):
        cut(read_header(data), WHOLE, SIZE)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_flipped_bytes_give_pixels_or_are_unreadable(data):
    kind = data.draw(st.sampled_from(["RGB", "CMYK", "PNG", "progressive"]))
    file = bytearray(encode(pixels(np.random.default_rng(0), 40, 40), kind))
    for place in data.draw(st.lists(st.integers(0, len(file) - 1), min_size=1, max_size=8)):
        file[place] ^= data.draw(st.integers(1, 255))
    try:
        ours = cut(read_header(bytes(file)), WHOLE, 16)
    except UnreadableImage:
        return
    assert ours.shape == (16, 16, 3)


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (256, 256), (300, 301), (100, 333), (57, 43)])
def test_evaluation_shows_what_torchvision_s_resize_and_centre_crop_do(shape, rng):
    image = pixels(rng, *shape)
    ours = cut(read_header(encode(image, "PNG")), evaluation_box(*shape), 224)
    short, long = sorted(shape)
    resized_long = int(256 * long / short)
    size = (256, resized_long) if shape[0] > shape[1] else (resized_long, 256)  # (W, H)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    left, top = (round((edge - 224) / 2) for edge in size)
    theirs = np.asarray(resized.crop((left, top, left + 224, top + 224))).astype(int)
    assert np.abs(ours - theirs).max() <= ONE_LEVEL
    try:
        from torchvision import transforms
    except ImportError:
        return
    chain = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    assert np.abs(ours - np.asarray(chain(Image.fromarray(image))).astype(int)).max() <= ONE_LEVEL


def test_an_empty_box_is_refused(rng):
    with pytest.raises(ValueError, match="must not be empty"):
        cut(read_header(encode(pixels(rng, 40, 40))), (0.0, 0.0, 0.0, 0.0), SIZE)
