"""A model made the user's own: labels in, a model file out that is better or says that it isn't."""

from .options import Adapted, AdaptOptions
from .run import adapt

__all__ = ["AdaptOptions", "Adapted", "adapt"]
