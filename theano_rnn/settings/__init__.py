"""Settings: frozen dataclasses that hold every default of the package, a module for each group."""
