"""Neural networks as symbolic graphs: cells, layers, output layers, losses. Symbols in, symbols out."""
