"""Make the small image of the README and its truth table: ``python benchmarks/example/make_field.py``.

Everything comes from one seed, so the files can be made again byte for byte.
"""

from pathlib import Path

import numpy as np
from astropy.io import fits

from rbtrain import simulate_image

HERE = Path(__file__).parent
SEED = 20261


def main() -> None:
    """Simulate the field and write ``field.fits`` and ``truth.ecsv``."""
    made = simulate_image(
        width=384,
        height=384,
        n_stars=90,
        star_flux_range=(800, 60000),
        star_fwhm=2.9,
        star_psf="moffat",
        n_galaxies=12,
        galaxy_flux_range=(3000, 60000),
        n_cosmic_rays=40,
        n_hot_pixels=25,
        n_satellites=1,
        n_bad_columns=1,
        background=400.0,
        readnoise=6.0,
        gain=1.5,
        seed=SEED,
    )
    pixels = np.clip(np.rint(made["image"]), 0, 65535).astype(np.uint16)
    hdu = fits.PrimaryHDU(pixels)
    hdu.header["OBJECT"] = ("simulated field", "made by rbtrain, see make_field.py")
    hdu.header["GAIN"] = (1.5, "e-/ADU")
    hdu.writeto(HERE / "field.fits", overwrite=True)
    truth = made["catalog"]
    for name in ("x", "y", "flux", "peak", "fwhm"):
        truth[name].info.format = ".3f"
    truth.write(HERE / "truth.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
