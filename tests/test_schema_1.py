"""A bundle that the first version of the format was exported to still verifies, opens and paints.

fixtures/schema_1 is support/arithmetic_model.py as torch modules without weights, but for the two functions below,
written once by the exporter of that version. What its pictures must be, the same arithmetic in NumPy says.
"""

from pathlib import Path

import numpy as np
from support.arithmetic_model import grown, model, request, tokenizer, word

import handfirst
from handfirst.engines.bundle import Bundle
from handfirst.engines.verify import verify

FOLDER = Path(__file__).with_name("fixtures") / "schema_1"


def hand_unet(inputs):
    x_t, c_p = inputs["sample"][:, :4], inputs["sample"][:, 4:]
    seen = 11 * c_p.mean(1, keepdims=True)
    prediction = 0.6 * x_t + np.tanh(x_t[:, ::-1] + seen) * 0.2 + 0.3 * word(inputs)
    feature = np.concatenate([seen + 0.01 * word(inputs), x_t[:, :1]], 1)
    return {"prediction": prediction.astype(np.float32), "feature": feature.astype(np.float32)}


def vae_decoder(inputs):
    return {"image": np.tanh(grown(inputs["latent"][:, :3], 8))}


def test_it_is_whole():
    bundle = Bundle.open(FOLDER)
    assert (bundle.manifest.schema_version, bundle.manifest.assets) == (1, {})
    assert bundle.tokenizer() == tokenizer()
    checks = list(verify(bundle, "cpu", 1))
    assert all(check.ok for check in checks), checks
    assert sum(check.psnr is not None for check in checks) == 8


def test_it_paints_what_the_arithmetic_says():
    opened = handfirst.open(FOLDER, engine="cpu", threads=1)
    found = opened.render(request())
    expected = model(hand_unet=hand_unet, vae_decoder=vae_decoder)[0].render(request())
    assert expected.mask.sum() > 500
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.latents, expected.latents, atol=1e-5)
    assert np.abs(found.image.astype(int) - expected.image).max() <= 1
    opened.close()
