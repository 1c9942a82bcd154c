"""Why a recurrent policy acts as it does: channel contributions and preceding offsets (Lee et al. 2019)."""
