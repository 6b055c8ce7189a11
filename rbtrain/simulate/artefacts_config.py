"""What is neither sky nor noise: hits, defects, trails and what the optics make of bright stars."""

import dataclasses
from dataclasses import dataclass

from .._settings import LATER, Settings
from .draws import Range


@dataclass(frozen=True)
class ArtefactConfig(Settings):
    """What is neither sky nor noise. Counts are for frames of 512 x 512 pixels.

    Attributes
    ----------
    pixel_size : Range
        Microns, log-uniform, after binning: 4 (CMOS) to 45 (24 um binned 2 x 2).
    thickness : Range
        Of the sensitive silicon in microns, log-uniform: 4 for CMOS, 10 to 20 for thinned and
        front-illuminated CCDs, 40 for deep ones.
    depleted : float
        Probability of a fully depleted device instead, of `depleted_thickness` microns.
    depleted_thickness : Range
        100 (e2v high-rho) to 250 (LBNL devices of DECam), microns, log-uniform.
    diffusion : Range
        Rms spread of charge that crosses the whole silicon, microns: 1.5 to 4 in thinned and
        front-illuminated CCDs, up to 7.5 in fully depleted ones (DECam's requirement; Flaugher et
        al. 2015, AJ 150, 150). Never more than 0.4 of the thickness, or half a
        pixel.
    cosmic_rays : Range
        Number of particles, log-uniform. At sea level one muon a minute and cm2, three times that
        at 4 km, and as many Compton electrons from radioactivity around (Groom 2002, Exp.
        Astron. 14, 45): 1 to 60 for exposures of 1 to 30 minutes; long ones in orbit have
        hundreds.
    no_cosmic_rays : float
        Probability of a frame without any.
    muon_fraction : Range
        Of the particles; the others are electrons (spots and worms).
    electron_energy : Range
        Deposited by an electron, keV, log-uniform; 3.65 eV make one pair in silicon. The low
        end are X-rays and tracks that only clip the sensitive layer.
    hot_pixels : Range
        Number of hot and warm pixels, log-uniform; uncooled or old CCDs have thousands.
    no_hot_pixels : float
        Probability of a frame without (dark subtracted and interpolated over).
    hot_size : Range
        Signal in units of the sky noise, N(>q) ~ 1/q.
    hot_shared : float
        Fraction of them that spill into neighbours.
    cold_pixels : Range
        Number, log-uniform.
    no_cold_pixels : float
        Probability of a frame without.
    columns : float
        Mean number of bad columns and rows.
    traps : float
        Mean number of charge traps: short runs along a column.
    trails : float
        Mean number of satellite and aeroplane trails.
    trail_peak : Range
        Brightness of a trail in units of the sky noise, log-uniform.
    bumpy : float
        Probability that a trail's brightness and place waver along it. What crosses the width of a star
        in milliseconds is not averaged over the atmosphere: it scintillates and dances; and satellites
        tumble.
    scintillation : Range
        Rms of the natural logarithm of the brightness, log-uniform: 0.1 behind a large telescope to 0.7
        behind a small one, over times of milliseconds (Dravins et al. 1997, PASP 109, 173); a dance
        along the trail, which bunches its light, is in it.
    trail_wander : Range
        Rms sideways excursion in FWHM: the tilt of the wavefront is most of the seeing (Fried 1966, JOSA
        56, 1372), and an average over a fast crossing takes out little of it.
    spikes : float
        Probability that bright stars show diffraction spikes.
    spike_strength : Range
        Fraction of a star's light that goes into the spikes, log-uniform.
    halos : float
        Probability of halos around bright stars.
    ghosts : float
        Probability of ghosts of bright stars.
    persistence : float
        Probability that the array remembers the saturated stars of earlier exposures, as infrared arrays
        do.
    persistence_peak : Range
        Brightness of these discs, just saturated, in units of the sky noise, log-uniform. An array such
        as WFC3's gives back some 0.3 electrons a second 1000 s after saturation, falling with 1 / t.
    remembered : Range
        Saturated stars of earlier exposures, log-uniform.
    """

    pixel_size: Range = (4.0, 45.0)
    thickness: Range = (4.0, 40.0)
    depleted: float = 0.15
    depleted_thickness: Range = (100.0, 250.0)
    diffusion: Range = (1.5, 7.5)
    cosmic_rays: Range = (3.0, 500.0)
    no_cosmic_rays: float = 0.08
    muon_fraction: Range = (0.2, 0.9)
    electron_energy: Range = (0.2, 300.0)
    hot_pixels: Range = (3.0, 800.0)
    no_hot_pixels: float = 0.25
    hot_size: Range = (2.5, 3000.0)
    hot_shared: float = 0.12
    cold_pixels: Range = (1.0, 200.0)
    no_cold_pixels: float = 0.6
    columns: float = 0.6
    traps: float = 0.5
    trails: float = 0.45
    trail_peak: Range = (0.7, 200.0)
    bumpy: float = dataclasses.field(default=0.0, metadata=LATER)
    scintillation: Range = dataclasses.field(default=(0.1, 0.8), metadata=LATER)
    trail_wander: Range = dataclasses.field(default=(0.0, 0.3), metadata=LATER)
    spikes: float = 0.5
    spike_strength: Range = (0.001, 0.03)
    halos: float = 0.15
    ghosts: float = 0.12
    persistence: float = dataclasses.field(default=0.0, metadata=LATER)
    persistence_peak: Range = dataclasses.field(default=(1.0, 40.0), metadata=LATER)
    remembered: Range = dataclasses.field(default=(1.0, 40.0), metadata=LATER)
