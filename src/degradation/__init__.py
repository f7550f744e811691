"""The degradation problem of deep plain networks (He et al. 2015), as a runnable account."""

__version__ = "0.1.0"
