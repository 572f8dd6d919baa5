"""Settings: frozen dataclasses with every default of the package, one module for each group."""
