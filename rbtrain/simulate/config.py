"""Every range that the simulator draws from, in physical units, with where it comes from.

All values are plain numbers, tuples and strings, so ``dataclasses.asdict`` gives what TOML can
hold and `SimulateConfig.from_dict` reads it back. A pair is the low and high end of a range.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .._settings import LATER, Settings, with_values
from .artefacts_config import ArtefactConfig
from .draws import Range
from .scenes_config import ScenesConfig

#: Zones along a side of a frame: more take memory, and no star changes faster.
_MOST_ZONES = 9
#: Pixels along a side of a frame, at least.
SMALLEST = 64


@dataclass(frozen=True)
class FieldConfig(Settings):
    """What is in the sky.

    Attributes
    ----------
    crowding : Range
        Stars with a peak above 5 sigma per square FWHM, log-uniform. 1e-4 is a high-latitude
        field; Baade's window from a 1 m telescope has 0.1 to 0.3.
    max_stars : int
        Ceiling on the stars above 5 sigma in a frame of 512 x 512 pixels; scales with the area. With 0
        there are none at all.
    star_slope : Range
        Slope a of the counts N(>F) ~ F**-a. Star counts rise by 0.2 to 0.45 dex a magnitude
        (Bahcall & Soneira 1980, ApJS 44, 73), which is a = 0.5 to 1.1.
    faintest : float
        Peak of the faintest stars, in sigma of the sky; fainter ones are but a smooth glow.
    brightest : Range
        Flux of the brightest possible star, as the ratio of its peak to the full well,
        log-uniform.
    bright_stars : Range
        Mean number of stars brighter than the counts give, of 50 sigma up to twice the
        brightest, so that saturation, bleeding and spikes are seen often enough.
    pair_fraction : Range
        Fraction of the stars that get a companion nearby, on top of chance alignments.
    pair_separation : Range
        Separation of these, in FWHM.
    pair_contrast : Range
        Flux of the companion over that of the star, log-uniform.
    galaxies : Range
        Galaxies in a frame of 512 x 512 pixels, log-uniform; zero with `no_galaxies`.
    no_galaxies : float
        Probability of a frame without galaxies.
    galaxy_slope : float
        Slope a of the counts; below the Euclidean 1.5 and faint counts of 1.0, so that bright
        ones are seen often enough (Yasuda et al. 2001, AJ 122, 1104).
    galaxy_peak : Range
        Range of the peak surface brightness that galaxies are drawn from, in sigma of the sky.
    galaxy_size : Range
        Half-light radius in FWHM, log-uniform. Ground-based surveys find half of the galaxies
        with 0.3 to 2 times the seeing (Shen et al. 2003, MNRAS 343, 978).
    sersic : Range
        Sersic index: 0.5 (irregular) to 4 (elliptical).
    nebula : float
        Probability of nebulosity.
    asteroids : float
        Mean number of asteroid trails in a frame.
    followed : float
        Mean number of objects that the telescope follows, where stars are trailed: round images among
        streaks, and stars to all that sees them.
    """

    crowding: Range = (2e-4, 0.3)
    max_stars: int = 3000
    star_slope: Range = (0.45, 1.1)
    faintest: float = 0.3
    brightest: Range = (0.05, 200.0)
    bright_stars: Range = (0.0, 4.0)
    pair_fraction: Range = (0.0, 0.25)
    pair_separation: Range = (0.3, 3.0)
    pair_contrast: Range = (0.05, 1.0)
    galaxies: Range = (3.0, 150.0)
    no_galaxies: float = 0.25
    galaxy_slope: float = 0.8
    galaxy_peak: Range = (2.5, 600.0)
    galaxy_size: Range = (0.3, 6.0)
    sersic: Range = (0.5, 4.0)
    nebula: float = 0.06
    asteroids: float = 0.1
    followed: float = dataclasses.field(default=0.0, metadata=LATER)


@dataclass(frozen=True)
class PSFConfig(Settings):
    """What the atmosphere and the telescope make of a star.

    Attributes
    ----------
    fwhm : Range
        FWHM at half maximum in pixels before trailing and aberration, log-uniform over the whole range
        in `wide_fraction` of the frames and over `common_fwhm` in the others.
    common_fwhm : Range
        Where most telescopes work: critically sampled to comfortably oversampled.
    wide_fraction : float
        See `fwhm`.
    beta : Range
        Moffat's beta. 4.765 is Kolmogorov turbulence, real telescopes have 2.5 to 3.5 (Trujillo
        et al. 2001, MNRAS 328, 977).
    gaussian, trailed, aberrated : float
        Probabilities of the kinds of PSF; the rest is Moffat.
    ellipticity : Range
        1 - b/a of the Gaussian and Moffat profiles (Rayleigh distributed, clipped); these two
        are its scale and its ceiling.
    trail_length : Range
        Length of the trail left by bad tracking, in FWHM, log-uniform.
    trail_bend : float
        Rms sideways excursion of its middle as a fraction of the length; a telescope that follows a
        comet leaves straight trails.
    turning : float
        Probability that stars which are neither trailed nor aberrated turn about a pole in or near the
        frame: a camera that stands still, or one whose field turns while it follows the sky.
    turn_length : Range
        Length in pixels of the trails that they leave half a frame from the pole, log-uniform. It goes
        with the distance. At the celestial equator the sky moves 15 arcseconds a second.
    defocus, astigmatism, coma, trefoil : Range
        Noll-normalised Zernike coefficients in waves rms.
    diffraction : Range
        lambda / D over the seeing FWHM: 0.1 for a 1 m telescope in arcsecond seeing, 0.4 for
        a 20 cm one.
    obscuration : Range
        Diameter of the central obstruction over that of the pupil.
    varying : float
        Probability that the PSF varies over the frame.
    curved : float
        Fraction of these in which it does so by the aberrations of the field: tilt and curvature of the
        focal surface, astigmatism, and coma where stars are aberrated.
    zones : int
        Along a side of such a frame, and of one that turns: stars are alike within each. Ninths, as
        `rbinfer` measures them, are too alike for real ones with 3.
    field_tilt, field_curvature : Range
        Blur by defocus at the edge of the frame, in FWHM of the seeing, added in quadrature: 0.7 makes
        stars 1.2 times as wide. Survey cameras keep below 0.4 (DECam's focal plane: Flaugher et al.
        2015, AJ 150, 150), small refractors and Newtonians do not.
    field_astigmatism : Range
        Ellipticity at the edge; in waves rms where stars are aberrated.
    field_coma : Range
        Waves rms at the edge.
    """

    fwhm: Range = (1.0, 14.0)
    common_fwhm: Range = (1.5, 8.0)
    wide_fraction: float = 0.2
    beta: Range = (2.0, 5.0)
    gaussian: float = 0.12
    trailed: float = 0.18
    aberrated: float = 0.15
    ellipticity: Range = (0.07, 0.5)
    trail_length: Range = (0.4, 6.0)
    trail_bend: float = dataclasses.field(default=0.12, metadata=LATER)
    turning: float = dataclasses.field(default=0.0, metadata=LATER)
    turn_length: Range = dataclasses.field(default=(0.3, 3.0), metadata=LATER)
    defocus: Range = (0.0, 0.45)
    astigmatism: Range = (0.0, 0.25)
    coma: Range = (0.0, 0.25)
    trefoil: Range = (0.0, 0.1)
    diffraction: Range = (0.1, 0.4)
    obscuration: Range = (0.0, 0.5)
    varying: float = 0.35
    curved: float = dataclasses.field(default=0.0, metadata=LATER)
    zones: int = dataclasses.field(default=3, metadata=LATER)
    field_tilt: Range = dataclasses.field(default=(0.0, 0.5), metadata=LATER)
    field_curvature: Range = dataclasses.field(default=(0.0, 0.5), metadata=LATER)
    field_astigmatism: Range = dataclasses.field(default=(0.0, 0.15), metadata=LATER)
    field_coma: Range = dataclasses.field(default=(0.0, 0.25), metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.zones <= _MOST_ZONES:
            raise ValueError(f"zones must be from 1 to {_MOST_ZONES}, not {self.zones}")


@dataclass(frozen=True)
class SkyConfig(Settings):
    """What the sky and the optics add to all of it.

    Attributes
    ----------
    level : Range
        Sky in electrons a pixel, log-uniform: a narrow-band minute to a moonlit i-band stack.
    gradient : Range
        Change of the sky across the frame, as a fraction of it (moonlight, twilight, horizon).
    vignetting : Range
        Loss of light in the corners.
    flattened : float
        Probability that the frame has been divided by a flat field.
    fringes : float
        Probability of fringes; night-sky lines in thinned CCDs give 1 to 5 % in i and z.
    fringe_amplitude : Range
        Amplitude of the fringes as a fraction of the sky.
    patches : float
        Probability of an uneven sky on scales of tens of pixels (bad flat, thin cloud, dust).
    patch_amplitude : Range
        Their rms as a fraction of the sky, log-uniform.
    amplifiers : float
        Probability that the frame is read by two amplifiers of different bias and gain.
    """

    level: Range = (5.0, 4e4)
    gradient: Range = (0.0, 0.12)
    vignetting: Range = (0.0, 0.35)
    flattened: float = 0.75
    fringes: float = 0.08
    fringe_amplitude: Range = (0.005, 0.04)
    patches: float = 0.25
    patch_amplitude: Range = (0.001, 0.01)
    amplifiers: float = 0.08


@dataclass(frozen=True)
class DetectorConfig(Settings):
    """What the camera and the pipeline make of the light.

    Attributes
    ----------
    gain : Range
        Electrons per ADU, log-uniform: CMOS cameras from 0.3, binned or stacked CCD frames up
        to 8.
    read_noise : Range
        Electrons rms, log-uniform: 1.5 for CMOS, 20 for old CCDs.
    full_well : Range
        Electrons, log-uniform: 15,000 (small CMOS pixels) to 300,000 (24 um CCD pixels).
    bits : tuple of int
        Of the converter; one is drawn.
    bias : Range
        ADU, log-uniform.
    bias_subtracted : float
        Probability that the bias is taken out.
    flat_noise : Range
        Pixel-to-pixel error left after flat fielding, as a fraction of the signal, log-uniform.
    nonlinearity : Range
        Loss of signal at full well, as a fraction.
    row_noise : float
        Probability of row or column noise.
    row_noise_size : Range
        Its rms in units of the sky noise, log-uniform.
    banding : float
        Probability of a periodic pattern along the rows or columns (interference).
    filters : float
        Probability that pixels lie behind a mosaic of colour filters, two green ones in each square.
    filters_pass : Range
        What the red and the blue ones pass of the light of stars, over what the green ones do, each
        log-uniform.
    interleaved : float
        Probability that two amplifiers of different bias read every other column, as in arrays of HgCdTe
        and in CMOS cameras.
    interleaved_step : Range
        The difference in units of the sky noise, log-uniform.
    smeared : float
        Probability that the camera has no shutter and moves its charge in the light.
    smear : Range
        Share of the exposure that charge then stays at each place on its way, log-uniform: a microsecond
        by frame transfer, a millisecond by slow readout, of 0.1 to 10 seconds.
    counted : float
        Probability that photons are few and each is counted: intensified and electron-multiplying
        cameras, short exposures by CMOS cameras of hardly any read noise, the ultraviolet.
    counted_sky : Range
        Sky then, electrons a pixel, log-uniform.
    blooming : float
        Probability that saturated pixels bleed; cameras with antiblooming gates and CMOS do not.
    resampled : float
        Probability that the frame was resampled (aligned), with bilinear, cubic or Lanczos-3
        interpolation; this correlates the noise.
    regridded : float
        Probability that a resampled frame is on another grid, of pixels down to half the size and at any
        angle, as of a survey or of interpolated colours.
    bilinear : float
        Probability that a resampled frame is interpolated linearly; else one of the three is drawn.
    smoothed : float
        Probability that a frame that was not resampled was smoothed with a round Gaussian; this
        correlates the noise, and hits are as smooth as stars.
    smoothing : Range
        Its sigma in pixels, log-uniform.
    sky_subtracted : float
        Probability that a sky was subtracted, so that the pixels scatter around 0.
    cut_off : float
        Probability that no value is kept below a level near that of the sky, as by programs that have no
        negative numbers.
    cut_off_at : Range
        That level, in units of the noise above the sky.
    rounded : float
        Probability that pixels are integers, where nothing above made them fractional.
    quantised : float
        Probability that pixels are rounded to a fraction of the noise.
    quanta : Range
        That fraction, log-uniform: 1/16 to 1/2 by lossy compression (fpack's q of 16 to 2; Pence et al.
        2010, PASP 122, 1065), up to the noise itself and more by converters of 8 bits.
    dead_edge : float
        Probability of an overscan, empty or vignetted strip at the edge.
    masked : float
        Probability of a masked region; half of these also hold NaN.
    scattered : float
        Probability that single pixels all over the frame are masked, as by a list of bad pixels of an
        infrared array or by a program that finds cosmic rays; half of these frames hold NaN there.
    scattered_share : Range
        Their share of the pixels, log-uniform.
    nodded : float
        Probability that another exposure of the same field, on which the telescope was moved by some
        FWHM, was subtracted instead of a sky, as in the infrared: each source has a negative image.
    photographic : float
        Probability that the frame is a scan of a photographic plate.
    densest : Range
        Light above the sky at which an emulsion is black, in units of the noise of the sky, log-uniform.
    grain : Range
        Noise of the emulsion in the same units, log-uniform.
    """

    gain: Range = (0.3, 8.0)
    read_noise: Range = (1.5, 20.0)
    full_well: Range = (1.5e4, 3e5)
    bits: tuple[int, ...] = (12, 14, 16, 16, 16, 16)
    bias: Range = (50.0, 3000.0)
    bias_subtracted: float = 0.5
    flat_noise: Range = (5e-4, 1e-2)
    nonlinearity: Range = (0.0, 0.03)
    row_noise: float = 0.12
    row_noise_size: Range = (0.05, 0.5)
    banding: float = 0.06
    blooming: float = 0.5
    resampled: float = 0.2
    sky_subtracted: float = 0.25
    rounded: float = 0.6
    quantised: float = 0.08
    dead_edge: float = 0.12
    masked: float = 0.12
    scattered: float = dataclasses.field(default=0.0, metadata=LATER)
    scattered_share: Range = dataclasses.field(default=(1e-3, 0.05), metadata=LATER)
    regridded: float = dataclasses.field(default=0.0, metadata=LATER)
    nodded: float = dataclasses.field(default=0.0, metadata=LATER)
    bilinear: float = dataclasses.field(default=0.0, metadata=LATER)
    smoothed: float = dataclasses.field(default=0.0, metadata=LATER)
    smoothing: Range = dataclasses.field(default=(0.35, 0.9), metadata=LATER)
    quanta: Range = dataclasses.field(default=(1 / 16, 0.5), metadata=LATER)
    photographic: float = dataclasses.field(default=0.0, metadata=LATER)
    densest: Range = dataclasses.field(default=(20.0, 200.0), metadata=LATER)
    grain: Range = dataclasses.field(default=(0.5, 2.0), metadata=LATER)
    filters: float = dataclasses.field(default=0.0, metadata=LATER)
    filters_pass: Range = dataclasses.field(default=(0.35, 1.1), metadata=LATER)
    interleaved: float = dataclasses.field(default=0.0, metadata=LATER)
    interleaved_step: Range = dataclasses.field(default=(0.1, 3.0), metadata=LATER)
    smeared: float = dataclasses.field(default=0.0, metadata=LATER)
    smear: Range = dataclasses.field(default=(1e-5, 3e-3), metadata=LATER)
    counted: float = dataclasses.field(default=0.0, metadata=LATER)
    counted_sky: Range = dataclasses.field(default=(0.2, 30.0), metadata=LATER)
    cut_off: float = dataclasses.field(default=0.0, metadata=LATER)
    cut_off_at: Range = dataclasses.field(default=(-1.5, 0.5), metadata=LATER)


@dataclass(frozen=True)
class SimulateConfig(Settings):
    """Everything that `draw_frame` draws from.

    Attributes
    ----------
    width, height : int
        Of the frame in pixels.
    small : float
        Probability of a smaller frame, where it is not drawn on real pixels: windows of a detector, and
        what surveys send of one object.
    small_side : Range
        Its height and its width in pixels, each log-uniform, and no larger than the frame.
    field, psf, sky, detector, artefacts
        The ranges by subject.
    scenes : ScenesConfig
        Shares of special kinds of frame, which change some of these ranges.
    """

    width: int = 512
    height: int = 512
    small: float = dataclasses.field(default=0.0, metadata=LATER)
    small_side: Range = dataclasses.field(default=(64.0, 200.0), metadata=LATER)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    psf: PSFConfig = dataclasses.field(default_factory=PSFConfig)
    sky: SkyConfig = dataclasses.field(default_factory=SkyConfig)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    artefacts: ArtefactConfig = dataclasses.field(default_factory=ArtefactConfig)
    scenes: ScenesConfig = dataclasses.field(default_factory=ScenesConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < SMALLEST:
                raise ValueError(f"{name} must be at least {SMALLEST} pixels, not {value}")
        if min(self.small_side) < SMALLEST:
            raise ValueError(f"small_side must be {SMALLEST} pixels or more, not {self.small_side}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a config from nested dicts, as TOML gives them; what is missing keeps its default.

        Raises
        ------
        ValueError
            A key is unknown, or a value is of another type or out of range.
        """
        return with_values(cls(), data, "simulate")
